/** The exact algebra (dsl/tensor/exact.ts) in both languages. */
import type { Helper } from "./helpers.ts";

/** Bodies that both languages read alike, given what declares a mutable variable and how the types are spelled. */
function helpers(
  fn: (name: string, params: readonly string[], body: string) => string,
  variable: (name: string, type: "i32" | "u32", init: string) => string,
  word: (x: string) => string,
  whole: (x: string) => string,
): Helper[] {
  return [
    {
      name: "weft_exact_exp",
      text: fn(
        "weft_exact_exp",
        ["x"],
        `${variable("r", "u32", "1u")} ${variable("b", "u32", "0x9e3779b1u")} ${variable("e", "u32", word("x"))} for (; e != 0u; ) { if ((e & 1u) != 0u) { r = r * b; } b = b * b; e = e >> 1u; } return ${whole("r")};`,
      ),
    },
    {
      name: "weft_exact_inv",
      text: fn(
        "weft_exact_inv",
        ["y"],
        `${variable("u", "u32", word("y"))} if ((u & 1u) == 0u) { return ${whole("((u * 0x85ebca6bu) ^ 0x1234u) & 0xfffffffeu")}; } ${variable("x", "u32", "u")} ${variable("i", "i32", "0")} for (; i < 5; ) { x = x * (2u - u * x); i = i + 1; } return ${whole("x")};`,
      ),
    },
    {
      name: "weft_exact_hash",
      text: fn(
        "weft_exact_hash",
        ["id", "x", "y"],
        `${variable("h", "u32", `${word("x")} ^ (${word("id + 1")} * 0x9e3779b9u)`)} h = (h ^ (h >> 16u)) * 0x85ebca6bu; h = h + ${word("y")} * 0x27d4eb2fu; h = (h ^ (h >> 13u)) * 0xc2b2ae35u; return ${whole("h ^ (h >> 16u)")};`,
      ),
    },
  ];
}
export const exactWgsl: readonly Helper[] = helpers(
  (name, params, body) => `fn ${name}(${params.map((p) => `${p}: i32`).join(", ")}) -> i32 { ${body} }`,
  (name, type, init) => `var ${name}: ${type} = ${init};`,
  (x) => `bitcast<u32>(${x})`,
  (x) => `bitcast<i32>(${x})`,
);
export const exactCuda: readonly Helper[] = helpers(
  (name, params, body) => `static __device__ __forceinline__ int ${name}(${params.map((p) => `int ${p}`).join(", ")}) { ${body} }`,
  (name, type, init) => `${type === "i32" ? "int" : "unsigned"} ${name} = ${init};`,
  (x) => `unsigned(${x})`,
  (x) => `int(${x})`,
);
