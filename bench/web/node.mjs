/** Runs the bundled measurement in Node, where Dawn is WebGPU: node.mjs SCRIPT GIVEN.json PEER ROUNDS; rows on the last line of standard output. */
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { create, globals } from "webgpu";

const [script, given, peer, rounds] = process.argv.slice(2);
Object.assign(globalThis, globals);
const gpu = create([]);
// What `create` gives must stay referenced.
globalThis.weftGpu = gpu;
Object.defineProperty(globalThis, "navigator", {
  value: { gpu, userAgent: "node", hardwareConcurrency: 2, language: "en" },
  configurable: true,
});
// jax-js maps over iterators, as Node 22 can.
const iterator = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
iterator.map ??= function* map(f) {
  let k = 0;
  for (const x of this) yield f(x, k++);
};
iterator.filter ??= function* filter(f) {
  for (const x of this) if (f(x)) yield x;
};
iterator.toArray ??= function toArray() {
  return [...this];
};
// Dawn's binding refuses views of a SharedArrayBuffer, which the memory of ONNX Runtime is.
const queue = GPUQueue.prototype;
const { writeBuffer } = queue;
queue.writeBuffer = function write(...given) {
  const [buffer, offset, data, from = 0, size] = given;
  const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  if (!(view.buffer instanceof SharedArrayBuffer)) return writeBuffer.apply(this, given);
  const unit = view.BYTES_PER_ELEMENT ?? 1;
  const start = view.byteOffset + from * unit;
  const end = size === undefined ? view.byteOffset + view.byteLength : start + size * unit;
  return writeBuffer.call(this, buffer, offset, new Uint8Array(view.buffer.slice(start, end)));
};
await import(pathToFileURL(script).href);
const rows = await globalThis.weftMeasure(JSON.parse(fs.readFileSync(given, "utf8")), peer, Number(rounds));
process.stdout.write(`\n${JSON.stringify(rows)}\n`, () => process.exit(0));
