/** Walks whose ends come from data, which may be any 32 bits: what is added to find an end must not leave them. */
import { expect, test } from "vitest";
import type { TargetName } from "../../dsl/index.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { compiled } from "../support/levels.ts";

const [least, most] = [-(2 ** 31), 2 ** 31 - 1];
const ends = [most, least, 0, 5, -1, most - 1, most - 2, least + 1, 17, least + 2];
const sum = (domain: string): string => `kernel f[M, N](x: f32[N], n: i32[M]) -> (o: f32[M]) { o[i] = sum(j where ${domain}) x[j] }\n`;
const attention = (domain: string): string => `kernel f[M, N](
  q: f16[M, 16], k: f16[N, 16], v: f16[N, 16], n: i32[M]
) -> (o: f32[M, 16]) {
  let s[i, j] where ${domain} = (sum(d) q[i, d] * k[j, d])
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = (sum(j) relax<f16>(p[i, j]) * v[j, d]) else -1.0
}
schedule f on cuda { stream j; tile i: 16, j: 16; warps 1 }
`;
const conditions = ["j <= n[i]", "j < n[i]", "j > n[i]", "j >= n[i]", "j == n[i]", "j + 3 < n[i]", "j - 3 >= n[i]", "j < n[i] + 3"];

async function agrees(text: string, target: TargetName): Promise<void> {
  const made = compiled(text, target);
  const n = (shape: readonly number[]) => Array.from({ length: shape[0]! }, (_, k) => ends[k % ends.length]!);
  const drawn = generate(made.artifact, seeded(3), { dims: { M: 21, N: 33 }, style: "plain", data: { n } })!;
  for (const level of [tileLevel(target), threadLevel(target)]) {
    const call = prepare(made.artifact, structuredClone(drawn.args), { dims: drawn.dims });
    const { result, faults } = await level.run(made, call);
    expect(faults).toEqual([]);
    const a = agree(call, result, interpreterFor(call, target));
    expect(a.disagreements.map(words), `${level.name}\n${text}`).toEqual([]);
    expect(a.compared).toBeGreaterThan(20);
  }
}
test.each(conditions)("a sum over elements where %s", async (condition) => {
  for (const target of ["cuda", "wgsl"] as const) await agrees(sum(condition), target);
});
test.each(conditions)("a streamed softmax over keys where %s", (condition) => agrees(attention(condition), "cuda"));
