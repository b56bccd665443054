/** What follows a decision on floats is held against the machine's own; a failure says which definitions its bound comes from. */
import { expect, test } from "vitest";
import { compile } from "../../../compiler/index.ts";
import { check } from "../../../dsl/index.ts";
import { type PreparedCall, prepare, tensor } from "../../../runtime/index.ts";
import type { HostTensor } from "../../../runtime/tensor.ts";
import { type Agreement, agree, describe } from "../../../verify/agree.ts";
import { interpreterFor } from "../../../verify/reference-device.ts";

const f32 = (...values: number[]) => tensor("f32", [values.length], Float32Array.from(values));
function callOf(text: string, args: Record<string, HostTensor>): PreparedCall {
  const checked = check(text);
  expect(checked.diagnostics).toEqual([]);
  return prepare(compile(checked.instances[0]!, text, { target: "wgsl" }).artifact, args);
}
const compared = (call: PreparedCall, outputs: Record<string, HostTensor>): Agreement =>
  agree(call, { outputs, timeMs: 0 }, interpreterFor(call, "wgsl"));

/** Sums that differ by less than they may err by. */
const near = [1, 1 + 2 ** -23, 0.25];
const args = { x: tensor("f32", [3, 2], Float32Array.from(near.flatMap((v) => [v, 1 / 3]))), w: f32(10, 20, 30) };
const chosen = `kernel f[N, K](x: f32[N, K], w: f32[N]) -> (at: i32[], y: f32[]) where N >= 1 {
  at = argmax(i) (sum(k) x[i, k])
  y = if at >= 0 && at < N then w[at] * 0.5 else 0.0
}`;
test.each([
  ["the first", 0, 5, 2, 0],
  ["the second", 1, 10, 2, 0],
  ["one index and the value of the other", 0, 10, 2, 1],
  ["one that is surely less", 2, 15, 1, 1],
])("an argmax between two that are too near to tell: %s", (_, at, y, count, wrong) => {
  const call = callOf(chosen, args);
  const a = compared(call, { at: tensor("i32", [], Int32Array.of(at)), y: tensor("f32", [], Float32Array.of(y)) });
  expect([a.compared, a.disagreements.length]).toEqual([count, wrong]);
  // What follows an inadmissible choice is not decided by it.
  expect(a.open).toBe(2 - count);
});
test.each([
  [1, 8, 0],
  [0, -8, 0],
  [1, -8, 1],
  [0, 8, 1],
])("a truth value: %i with %d gives %i disagreements", (m, y, wrong) => {
  const call = callOf("kernel f[N](x: f32[N]) -> (m: bool[], y: f32[]) {\n  m = (sum(i) x[i]) > 1.0\n  y = if m then 8.0 else -8.0\n}", {
    x: f32(0.1, 0.2, 0.3, 0.4),
  });
  const a = compared(call, { m: tensor("bool", [], Uint8Array.of(m)), y: tensor("f32", [], Float32Array.of(y)) });
  expect([a.compared, a.open, a.disagreements.length]).toEqual([1, 1, wrong]);
});
test("a failure names the definitions that its bound comes from, by share", () => {
  const call = callOf(
    "kernel f[N](x: f32[N]) -> (y: f32[]) {\n  let narrow[i] = relax<f16>(x[i])\n  let total = sum(i) narrow[i]\n  y = total + 0.0 * exp(total)\n}",
    { x: f32(1 / 3, 1 / 5, 1 / 7, 1 / 9) },
  );
  const a = compared(call, { y: tensor("f32", [], Float32Array.of(100)) });
  const shares = a.disagreements[0]!.shares!;
  expect(shares[0]!.definition).toBe("narrow");
  expect(shares[0]!.share).toBeGreaterThan(0.9);
  expect(shares.map((s) => s.share)).toEqual([...shares.map((s) => s.share)].sort((x, y) => y - x));
  expect(describe(a.disagreements[0]!)).toMatch(/^y\[\]: got 100, expected [\d.]+ ± [\d.e-]+ \([\d.]+ bounds; narrow \d+ %/);
});
