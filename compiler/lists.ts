/** make(0), make(1), .. make(count - 1). `Array.from({ length })` asks an object for every element, which takes several times as long. */
export function listOf<T>(count: number, make: (k: number) => T): T[] {
  const list: T[] = [];
  for (let k = 0; k < count; k++) list.push(make(k));
  return list;
}
