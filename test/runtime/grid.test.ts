/** Launches of more workgroups than one dimension of a grid holds: the runtime folds them over two, and those in excess do nothing. */
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare, tensor } from "../../runtime/index.ts";
import { webgpu } from "../support/devices.ts";

const gpu = await webgpu();
/** A block that does not exist reads the place 0, or the last one, and would write there. */
const text = `kernel f[N](a: index<N>[N], inout y: i32[N]) where unique(i) a[i] {
  y[a[i]] := i
}
schedule f on wgsl { tile i: 1 }
`;
describe.skipIf(gpu === undefined)("WebGPU", () => {
  test.each([65_535, 65_536, 70_001])("%i blocks", async (n) => {
    const checked = check(text);
    const { artifact } = compile(checked.instances[0]!, text, { target: "wgsl", schedule: checked.schedules[0] });
    const places = Uint32Array.from({ length: n }, (_, i) => (i * 7 + 3) % n);
    const call = prepare(artifact, { a: tensor("index", [n], places), y: tensor("i32", [n]) });
    const { outputs } = await gpu!.run(call);
    const wanted = new Int32Array(n);
    for (const [i, place] of places.entries()) wanted[place] = i;
    expect(outputs["y"]!.data).toEqual(wanted);
  });
});
