/**
 * Buffers that share bindings. A device without extended limits binds few storage buffers to a launch (8 in core WebGPU); where a kernel has more, they
 * lie one after the other in arenas, each from a multiple of 16 bytes on, and positions in them are counted from where they begin: a uniform. What is
 * only read lies in one arena, which a launch binds as words, as vectors of words and as halves, as it reads it. What is written may be bound once to a
 * launch: an arena of it has what every launch accesses alike.
 */
import type { ArenaAbi, SizeExpr, UniformAbi } from "../../runtime/abi.ts";
import { bytesOfUnit } from "../cost/count.ts";
import type { ThreadBuffer, ThreadKernel } from "../thread/ir.ts";

interface Place {
  readonly arena: string;
  /** Where it begins, in units of the buffer; the first of an arena begins at 0. */
  readonly uniform?: string;
}
export interface Arenas {
  readonly arenas: readonly ArenaAbi[];
  readonly uniforms: readonly UniformAbi[];
  /** By name of a buffer. */
  readonly places: ReadonlyMap<string, Place>;
}
export const noArenas: Arenas = { arenas: [], uniforms: [], places: new Map() };
/** What a launch binds: as what it declares it, and the buffer or arena that it is. */
export interface Bound {
  readonly buffer: ThreadBuffer;
  readonly memory: string;
}

/**
 * Arenas with which no launch binds more than `most` buffers; none where none are needed.
 * @param names that are taken
 * @returns undefined where more are written, each in another way
 */
export function arenasOf(kernels: readonly ThreadKernel[], most: number, names: ReadonlySet<string>): Arenas | undefined {
  const crowded = kernels.filter((k) => k.buffers.length > most);
  if (crowded.length === 0) return noArenas;
  const buffers = [...new Map(crowded.flatMap((k) => k.buffers.map((b) => [b.name, b]))).values()];
  const written = (b: ThreadBuffer): boolean => usesOf(b, kernels).some((u) => u !== undefined && u.access !== "read");
  const reads = [buffers.filter((b) => !written(b))];
  const fits = (made: Arenas): boolean => crowded.every((k) => boundTo(k, made).length <= most);
  for (const groups of [reads, [...reads, ...alike(buffers.filter(written), kernels)]]) {
    const made = placed(groups, names);
    if (fits(made)) return made;
  }
  return undefined;
}
export function boundTo(k: ThreadKernel, { places }: Arenas): readonly Bound[] {
  const bound = new Map<string, Bound>();
  for (const b of k.buffers) {
    const place = places.get(b.name);
    if (place === undefined) bound.set(b.name, { buffer: b, memory: b.name });
    else {
      const name = heldIn(place.arena, b);
      const before = bound.get(name)?.buffer.access ?? b.access;
      const unit = isHalves(b) ? "u16" : "u32";
      bound.set(name, { buffer: { ...b, name, unit, access: before === b.access ? b.access : "read_write" }, memory: place.arena });
    }
  }
  return [...bound.values()];
}
/** How a launch calls an arena, as it accesses a buffer there. */
export const heldIn = (arena: string, b: ThreadBuffer): string => `${arena}${b.vector ? "_wide" : isHalves(b) ? "_halves" : ""}`;
const isHalves = (b: ThreadBuffer): boolean => b.unit === "u16" && !b.vector;

/** Each launch's view of a buffer. */
const usesOf = (b: ThreadBuffer, kernels: readonly ThreadKernel[]): readonly (ThreadBuffer | undefined)[] =>
  kernels.map((k) => k.buffers.find((x) => x.name === b.name));
/** Groups of which each launch accesses all members that it has in one way. */
function alike(buffers: readonly ThreadBuffer[], kernels: readonly ThreadKernel[]): readonly (readonly ThreadBuffer[])[] {
  const groups: { readonly members: ThreadBuffer[]; readonly ways: (string | undefined)[] }[] = [];
  for (const b of buffers) {
    const ways = usesOf(b, kernels).map((u) => u && `${isHalves(u)} ${u.vector} ${u.atomic}`);
    const group = groups.find((g) => g.ways.every((w, k) => w === undefined || ways[k] === undefined || w === ways[k]));
    if (group === undefined) groups.push({ members: [b], ways });
    else {
      group.members.push(b);
      ways.forEach((w, k) => {
        group.ways[k] ??= w;
      });
    }
  }
  return groups.map((g) => g.members);
}
function placed(groups: readonly (readonly ThreadBuffer[])[], names: ReadonlySet<string>): Arenas {
  const taken = new Set(names);
  const free = (name: string): string => {
    let made = name;
    for (let k = 2; [...taken].some((n) => n === made || n.startsWith(`${made}_`)); k++) made = `${name}${k}`;
    taken.add(made);
    return made;
  };
  const uniforms: UniformAbi[] = [];
  const places = new Map<string, Place>();
  const arenas: ArenaAbi[] = [];
  for (const group of groups) {
    if (group.length < 2) continue;
    const arena = free("arena");
    let size: SizeExpr = 0;
    const members = group.map((b) => {
      const at = size;
      const width = 16 / bytesOfUnit[b.unit];
      if (at === 0) places.set(b.name, { arena });
      else {
        const uniform = free(`${b.name}_at`);
        places.set(b.name, { arena, uniform });
        uniforms.push({ name: uniform, kind: "place", type: "i32", at: ["*", at, width] });
      }
      const steps: SizeExpr = ["ceildiv", b.units, width];
      size = at === 0 ? steps : ["+", at, steps];
      return { name: b.name, at };
    });
    arenas.push({ name: arena, size, members });
  }
  return { arenas, uniforms, places };
}
