/** Packed dot products (WGSL, "packed_4x8_integer_dot_product") where an implementation has them, and their meaning as functions where it has not. */
const feature = "packed_4x8_integer_dot_product";
const shifts = [0, 8, 16, 24];
const signed = (word: string): string => `vec4<i32>(${shifts.map((s) => `bitcast<i32>(${word} << ${24 - s}u) >> 24u`).join(", ")})`;
const natural = (word: string): string => `vec4<u32>(${shifts.map((s) => `(${word} >> ${s}u) & 255u`).join(", ")})`;
const functions: Readonly<Record<string, string>> = {
  dot4I8Packed: `fn dot4I8Packed(a: u32, b: u32) -> i32 { return dot(${signed("a")}, ${signed("b")}); }`,
  dot4U8Packed: `fn dot4U8Packed(a: u32, b: u32) -> u32 { return dot(${natural("a")}, ${natural("b")}); }`,
};

/** @param features of the language that the implementation has (`GPU.wgslLanguageFeatures`) */
export function withPackedDots(source: string, features: ReadonlySet<string>): string {
  if (features.has(feature)) return source;
  const missing = Object.entries(functions).filter(([name]) => source.includes(`${name}(`));
  return [source, ...missing.map(([, text]) => text)].join("\n");
}
