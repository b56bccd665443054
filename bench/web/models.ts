/** The operations as ONNX models, encoded by the ONNX schema's own package. */
import { createRequire } from "node:module";
import path from "node:path";
import { ops } from "./ops.ts";

interface Node {
  readonly opType: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute?: readonly object[];
}
const softmax = (input: string, output: string): Node => ({
  opType: "Softmax",
  input: [input],
  output: [output],
  attribute: [{ name: "axis", type: 2, i: -1 }],
});
const node = (opType: string, input: readonly string[], output: string): Node => ({ opType, input, output: [output] });
const graphs: Readonly<Record<string, (depth: number) => { readonly nodes: readonly Node[]; readonly constants?: readonly object[] }>> = {
  matmul: () => ({ nodes: [node("MatMul", ["a", "b"], "c")] }),
  softmaxes: () => ({ nodes: [softmax("x", "y")] }),
  dot_product_attention: (depth) => ({
    nodes: [
      { ...node("Transpose", ["k"], "kt"), attribute: [{ name: "perm", type: 7, ints: [0, 1, 3, 2] }] },
      node("MatMul", ["q", "kt"], "s"),
      node("Mul", ["s", "scale"], "scaled"),
      softmax("scaled", "p"),
      node("MatMul", ["p", "v"], "out"),
    ],
    constants: [{ name: "scale", dataType: 1, dims: [1], floatData: [1 / Math.sqrt(depth)] }],
  }),
};
/** @param from the folder whose node_modules has `onnx-proto` */
export async function models(from: string): Promise<Record<string, readonly number[]>> {
  const { onnx } = createRequire(path.join(from, "package.json"))("onnx-proto");
  const value = (name: string, shape: readonly number[]): object => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  });
  return Object.fromEntries(
    ops.map((op) => {
      const { nodes, constants } = graphs[op.kernel]!(op.output.shape.at(-1)!);
      const graph = {
        name: op.kernel,
        node: nodes,
        initializer: constants ?? [],
        input: Object.entries(op.inputs).map(([name, t]) => value(name, t.shape)),
        output: [value(op.output.name, op.output.shape)],
      };
      const model = onnx.ModelProto.create({ irVersion: 8, opsetImport: [{ domain: "", version: 17 }], graph });
      return [op.kernel, [...(onnx.ModelProto.encode(model).finish() as Uint8Array)]];
    }),
  );
}
