/** Memory layouts on the host: where an element lies, and bringing row-major tensors into a layout and back. */
import { type Artifact, elementBits, evaluateSize, evaluatorOf, type TensorParam, UnknownSize } from "./abi.ts";
import { fixedDims, known, solveDims } from "./dims.ts";
import { WeftError } from "./errors.ts";
import { type HostTensor, type TensorData, unitsFor } from "./tensor.ts";

export type Values = Readonly<Record<string, number>>;
/** Tensors by parameter: tables of pages are looked up here. */
export type Tables = ReadonlyMap<string, HostTensor>;

/**
 * Where element number `flat` of a tensor lies, in element positions: itself, unless a layout says otherwise.
 * @param values dimensions and scalars
 */
export function placeOf(p: TensorParam, values: Values, tables: Tables): (flat: number) => number {
  const { layout } = p;
  if (layout === undefined) return (flat) => flat;
  const shape = p.shape.map((e) => evaluateSize(e, values));
  // Without elements, sizes that only their places need may be unknown.
  if (shape.includes(0)) return (flat) => flat;
  const { table } = layout;
  const names = table ? [...layout.indices, table.param] : layout.indices;
  const at = names.map(() => 0);
  const place = evaluatorOf(layout.place, values, names, at);
  const pages = table && tables.get(table.param)!;
  const cell = table?.at.map((e) => evaluatorOf(e, values, names, at));
  return (flat) => {
    for (let k = shape.length - 1, rest = flat; k >= 0; k--) {
      at[k] = rest % shape[k]!;
      rest = Math.floor(rest / shape[k]!);
    }
    if (pages) {
      const page = pages.data[cell!.reduce((n, e, k) => n * pages.shape[k]! + e(), 0)];
      if (page === undefined) throw new UnknownSize(table.param);
      at[shape.length] = page;
    }
    return place();
  };
}
/** Units of memory (elements, or words of packed ones) that a tensor takes, holes of its layout included. */
export function unitsOf(p: TensorParam, values: Values): number {
  const count = p.shape.reduce<number>((n, e) => n * evaluateSize(e, values), 1);
  return unitsFor(p.elem, p.layout === undefined || count === 0 ? count : Math.max(0, evaluateSize(p.layout.places, values)));
}
/** The bits of the element at a position, unsigned; the element itself where it has 32 bits or more. */
export function readField(data: TensorData, bits: number, at: number): number {
  if (bits >= 8) return data[at]!;
  const per = 32 / bits;
  return (data[Math.floor(at / per)]! >>> ((at % per) * bits)) & (2 ** bits - 1);
}
export function writeField(data: TensorData, bits: number, at: number, value: number): void {
  if (bits >= 8) {
    data[at] = value;
    return;
  }
  const per = 32 / bits;
  const shift = (at % per) * bits;
  const word = Math.floor(at / per);
  const mask = (2 ** bits - 1) << shift;
  data[word] = ((data[word]! & ~mask) | ((value << shift) & mask)) >>> 0;
}
/** A row-major tensor in the layout of a parameter; `into` keeps what it holds elsewhere. */
export function pack(p: TensorParam, t: HostTensor, values: Values, tables: Tables, into?: HostTensor): HostTensor {
  const Data = t.data.constructor as new (n: number) => TensorData;
  const data = into?.data ?? new Data(unitsOf(p, values));
  copy(t, placeOf(p, values, tables), (from, to) =>
    writeField(data, elementBits[p.elem], to, readField(t.data, elementBits[p.elem], from)),
  );
  return { elem: t.elem, shape: t.shape, data };
}
/** A tensor in the layout of a parameter, in row-major order. */
export function unpack(p: TensorParam, t: HostTensor, values: Values, tables: Tables): HostTensor {
  const count = t.shape.reduce((a, b) => a * b, 1);
  const Data = t.data.constructor as new (n: number) => TensorData;
  const data = new Data(unitsFor(p.elem, count));
  copy(t, placeOf(p, values, tables), (to, from) =>
    writeField(data, elementBits[p.elem], to, readField(t.data, elementBits[p.elem], from)),
  );
  return { elem: t.elem, shape: t.shape, data };
}
function copy(t: HostTensor, place: (flat: number) => number, move: (rowMajor: number, laidOut: number) => void): void {
  const count = t.shape.reduce((a, b) => a * b, 1);
  for (let flat = 0; flat < count; flat++) move(flat, place(flat));
}

export interface PackOptions {
  /** Dimensions that the tensor's shape does not determine. */
  readonly dims?: Values;
  /** Tables of pages, by parameter. */
  readonly tables?: Readonly<Record<string, HostTensor>>;
}
/**
 * A row-major tensor in the layout in which a kernel takes its parameter `name`. A parameter without a layout is taken as it is.
 * @throws WeftError R101 for an unknown parameter or a missing table, R103 for a shape that does not fit, R105 for a dimension that is missing,
 * R206 where no instance has such a tensor
 */
export function packFor<T extends HostTensor>(artifacts: readonly Artifact[], name: string, t: T, options: PackOptions = {}): T {
  const { kernel } = artifacts[0]!;
  const paramOf = (a: Artifact): TensorParam | undefined => a.params.find((p): p is TensorParam => p.kind === "tensor" && p.name === name);
  if (!artifacts.some(paramOf)) throw new WeftError("R101", `${kernel} has no tensor parameter \`${name}\``);
  const fits = (a: Artifact): boolean => {
    const p = paramOf(a);
    const values = fixedDims(a);
    return (
      p?.elem === t.elem &&
      p.shape.length === t.shape.length &&
      p.shape.every((e, k) => known(e, values) === undefined || known(e, values) === t.shape[k])
    );
  };
  const a = artifacts.find(fits);
  if (a === undefined) throw new WeftError("R206", `no instance of ${kernel} takes \`${name}\` as ${t.elem}[${t.shape.join(", ")}]`);
  const values: Record<string, number> = { ...fixedDims(a), ...options.dims };
  const tables = new Map(Object.entries(options.tables ?? {}));
  solveDims(a, new Map([...tables, [name, t]]), values);
  const p = paramOf(a)!;
  const needed = p.layout?.table?.param;
  if (needed && !tables.has(needed)) throw new WeftError("R101", `${kernel}: the layout of \`${name}\` needs the table \`${needed}\``);
  try {
    return { ...t, ...pack(p, t, values, tables) };
  } catch (e) {
    if (e instanceof UnknownSize)
      throw new WeftError("R105", `${kernel}: dimension ${e.size} of the layout of \`${name}\` is not known; pass it in \`dims\``);
    throw e;
  }
}
