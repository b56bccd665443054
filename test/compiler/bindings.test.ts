/** Generated bindings: dimensions that must agree are a type error where they do not, and the call runs. */
import fs from "node:fs";
import path from "node:path";
import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";
import { bindingsFor } from "../../compiler/bindings/bindings.ts";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { type Artifact, prepare } from "../../runtime/index.ts";
import { agree } from "../../verify/agree.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";

const gpu = await webgpu();
const root = path.resolve(import.meta.dirname, "../..");
const dir = fs.mkdtempSync(path.join(root, "test/.bindings-"));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const text = fs.readFileSync(library.attention, "utf8");
const artifacts = check(text).instances.map((i) => compile(i, text, { target: "wgsl" }).artifact);
fs.writeFileSync(path.join(dir, "attention.ts"), bindingsFor(artifacts, "../../runtime/index.ts"));

const usage = (k: string, elem = "f32", d = 32): string => `
import { tensor, type Device } from "../../runtime/index.ts";
import { attention } from "./attention.ts";
export async function go(device: Device): Promise<number> {
  const q = tensor("${elem}", [1, 4, 8, ${d}]);
  const k = tensor("${elem}", ${k});
  const v = tensor("${elem}", [1, 2, 16, ${d}]);
  const { out, lse } = await attention(device, { q, k, v, scale: 0.5 });
  const rows: 8 = out.shape[2];
  return rows + lse.shape[2];
}
`;
const { config } = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile);
const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, noEmit: true }, root);
const host = ts.createCompilerHost(options);
/** What is not of this folder stays as it was first read. */
const sources = new Map<string, ts.SourceFile>();
const read = host.getSourceFile.bind(host);
host.getSourceFile = (file, ...how) => {
  const known = sources.get(file);
  if (known) return known;
  const source = read(file, ...how);
  if (source && !file.startsWith(dir)) sources.set(file, source);
  return source;
};
let before: ts.Program | undefined;
/** What TypeScript says of a file in the folder of the bindings, and of the bindings that it imports. */
function errors(source: string): string {
  const file = path.join(dir, "use.ts");
  fs.writeFileSync(file, source);
  const program = ts.createProgram([file], options, host, before);
  before = program;
  const own = program.getSourceFiles().filter((f) => f.fileName.startsWith(dir));
  expect(own.length).toBeGreaterThan(1);
  const found = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...own.flatMap((f) => ts.getPreEmitDiagnostics(program, f)),
  ];
  return ts.formatDiagnostics(found, host);
}
describe("bindings", () => {
  test("agreeing dimensions type-check, and results carry them", () => expect(errors(usage("[1, 2, 16, 32]"))).toBe(""));
  test("a key length that differs from the value length is an error", () => expect(errors(usage("[1, 2, 17, 32]"))).toMatch(/error TS\d+/));
  test("calls of a list have dimensions of their own", () => {
    const many = (second: string): string => `
import { tensor, type Device } from "../../runtime/index.ts";
import { many } from "./attention.ts";
export async function go(device: Device): Promise<number> {
  const call = (n: number) => ({ q: tensor("f32", [1, 4, n, 32]), k: tensor("f32", [1, 2, n, 32]), v: tensor("f32", [1, 2, n, 32]), scale: 0.5 });
  const results = await many(device, [call(8), ${second}]);
  return results[1]!.lse.data.length;
}
`;
    expect(errors(many("call(9)"))).toBe("");
    for (const bad of ["{ ...call(9), scale: true }", '{ ...call(9), q: tensor("bf16", [1, 4, 9, 32]) }'])
      expect(errors(many(bad))).toMatch(/error TS\d+/);
  });
  test("a head size that no instance has is an error", () => expect(errors(usage("[1, 2, 16, 48]", "f32", 48))).toMatch(/error TS\d+/));
  test("an element type that no instance has is an error", () =>
    expect(errors(usage("[1, 2, 16, 32]", "bf16", 32))).toMatch(/error TS\d+/));
  test("the same call runs on the reference", async () => {
    const { attention } = (await import(path.join(dir, "attention.ts"))) as {
      attention: (d: unknown, a: object) => Promise<{ out: { data: Float32Array } }>;
    };
    const { tensor } = await import("../../runtime/index.ts");
    const { ReferenceDevice } = await import("../../verify/reference-device.ts");
    const v = tensor("f32", [1, 1, 2, 32]);
    v.data.fill(3);
    const { out } = await attention(new ReferenceDevice(), {
      q: tensor("f32", [1, 1, 2, 32]),
      k: tensor("f32", [1, 1, 2, 32]),
      v,
      scale: 1,
    });
    expect(out.data[0]).toBe(3);
  });
  test.skipIf(gpu === undefined)("and on WebGPU, to the same numbers", async () => {
    const { artifacts: built } = (await import(path.join(dir, "attention.ts"))) as { artifacts: Artifact[] };
    const { tensor } = await import("../../runtime/index.ts");
    const make = (k: number) =>
      tensor(
        "f32",
        [1, 1, 5, 32],
        Float32Array.from({ length: 160 }, (_, i) => Math.sin(i * k)),
      );
    const prepared = prepare(built.find((x) => x.instance.includes("f32"))!, { q: make(1), k: make(2), v: make(3), scale: 0.25 });
    const machine = interpreterFor(prepared, "wgsl");
    const a = agree(prepared, await gpu!.run(prepared), machine);
    expect(a.disagreements).toEqual([]);
    expect(a.compared).toBe(165);
  });
  test("a kernel whose name is a word of TypeScript, or one that the module uses", () => {
    for (const name of ["call", "delete", "Tensor", "many"]) {
      const source = `kernel ${name}[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] }\n`;
      fs.writeFileSync(
        path.join(dir, `named_${name}.ts`),
        bindingsFor([compile(check(source).instances[0]!, source, { target: "wgsl" }).artifact], "../../runtime/index.ts"),
      );
    }
    const imports = ["call", "delete", "Tensor", "many"].map((n) => `export { ${n}_ } from "./named_${n}.ts";`);
    expect(errors(`${imports.join("\n")}\n`)).toBe("");
  });
  test("the same input gives the same bytes", () => expect(bindingsFor(artifacts)).toBe(bindingsFor(artifacts)));
});
