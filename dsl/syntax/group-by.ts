/** chevrotain 13 calls Object.groupBy, which Node 20 does not have (ECMAScript 2024, 22.1.2.13). */
const holder = Object as { groupBy?: unknown };
holder.groupBy ??= <T>(items: Iterable<T>, keyOf: (item: T, index: number) => PropertyKey) => {
  const groups: Record<PropertyKey, T[]> = Object.create(null);
  let index = 0;
  for (const item of items) {
    const key = keyOf(item, index++);
    groups[key] ??= [];
    groups[key].push(item);
  }
  return groups;
};
