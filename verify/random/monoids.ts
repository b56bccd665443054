/** Monoids for random programs, each with what it means: their laws hold in every ring, so that chunks may be combined. */
import type { Type } from "./term.ts";

export interface RandomMonoid {
  readonly name: string;
  readonly text: string;
  readonly fields: readonly Type[];
  readonly identity: readonly number[];
  readonly combine: (x: readonly number[], y: readonly number[]) => readonly number[];
}
const affine = "(x.a * y.a, x.b * y.a + y.b)";
export const monoids: readonly RandomMonoid[] = [
  {
    name: "counted",
    text: "monoid counted(n: i32, s: f32) commutative {\n  identity (0, 0.0)\n  combine(x, y) = (x.n + y.n, x.s + y.s)\n}\n",
    fields: ["i32", "f32"],
    identity: [0, 0],
    combine: ([n, s], [m, t]) => [(n! + m!) | 0, s! + t!],
  },
  {
    name: "steps",
    text: `monoid steps(a: i32, b: i32) {\n  identity (1, 0)\n  combine(x, y) = ${affine}\n}\n`,
    fields: ["i32", "i32"],
    identity: [1, 0],
    combine: ([a, b], [c, d]) => [Math.imul(a!, c!), (Math.imul(b!, c!) + d!) | 0],
  },
  {
    name: "decay",
    text: `monoid decay(a: f32, b: f32) {\n  identity (1.0, 0.0)\n  combine(x, y) = ${affine}\n}\n`,
    fields: ["f32", "f32"],
    identity: [1, 0],
    combine: ([a, b], [c, d]) => [a! * c!, b! * c! + d!],
  },
];
