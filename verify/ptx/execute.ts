/**
 * Runs PTX in TypeScript: the only check, without a GPU, that inline assembly says what it should. Threads run one after another until they
 * meet: a barrier of the block, an operation of the warp. Instructions that approximate give the nearest float.
 */
import { InternalError } from "../../dsl/diagnostics.ts";
import { decode, formats } from "../../dsl/tensor/narrow.ts";
import { WeftError } from "../../runtime/errors.ts";
import { asFloat, floatBits } from "./arithmetic.ts";
import { compute } from "./instructions.ts";
import type { Entry, Instruction, Module, Operand } from "./parse.ts";

/** Buffers lie 2^32 apart; local and shared memory have spaces of their own. */
const apart = 2 ** 32;
interface Copy {
  readonly to: number;
  readonly bytes: Uint8Array;
}
interface Thread {
  readonly index: number;
  pc: number;
  state: "runs" | "waits" | "ended";
  readonly registers: Map<string, bigint>;
  readonly local: Uint8Array;
  open: Copy[];
  readonly groups: Copy[][];
}
export interface Launch {
  readonly blocks: number;
  readonly threads: number;
  readonly sharedBytes: number;
}
/** Runs an entry on buffers, which it changes. @throws WeftError R202 for an access outside them, R204 for what it does not know */
export function runPtx(module: Module, name: string, buffers: readonly Uint8Array[], launch: Launch): void {
  const entry = module.entries.get(name);
  if (entry === undefined) throw new WeftError("R204", `the PTX has no entry ${name}`);
  for (let block = 0; block < launch.blocks; block++) new Block(module, entry, buffers, launch, block).run();
}

class Block {
  private readonly entry: Entry;
  private readonly buffers: readonly Uint8Array[];
  private readonly launch: Launch;
  private readonly index: number;
  private readonly shared: Uint8Array;
  private readonly threads: Thread[];
  private readonly tables: readonly (readonly [string, Uint8Array])[];

  constructor(module: Module, entry: Entry, buffers: readonly Uint8Array[], launch: Launch, index: number) {
    this.entry = entry;
    this.launch = launch;
    this.index = index;
    this.tables = [...module.tables];
    this.buffers = [...buffers, ...this.tables.map(([, bytes]) => bytes)];
    this.shared = new Uint8Array(launch.sharedBytes).fill(0xff);
    this.threads = Array.from({ length: launch.threads }, (_, k) => ({
      index: k,
      pc: 0,
      state: "runs" as const,
      registers: new Map(),
      local: new Uint8Array(entry.local.bytes),
      open: [],
      groups: [],
    }));
  }
  private fail(i: Instruction, what: string): never {
    throw new WeftError("R202", `${this.entry.name}, PTX line ${i.line} (${i.op.join(".")}): ${what}`);
  }
  run(): void {
    for (;;) {
      for (const t of this.threads) while (t.state === "runs") this.step(t);
      const waiting = this.threads.filter((t) => t.state === "waits");
      if (waiting.length === 0) break;
      if (!this.meet(waiting)) throw new WeftError("R202", `${this.entry.name}: threads wait for others that do not come`);
    }
    for (const t of this.threads)
      if (t.open.length + t.groups.length > 0)
        throw new WeftError("R202", `${this.entry.name}: thread ${t.index} ends with copies under way`);
  }
  /** Lets those go on who wait for nobody that is missing. */
  private meet(waiting: readonly Thread[]): boolean {
    const at = (t: Thread): Instruction => this.entry.instructions[t.pc]!;
    if (
      waiting.length === this.threads.length &&
      waiting.every((t) => at(t).op[0] === "bar" && at(t).op[1] === "sync" && t.pc === waiting[0]!.pc)
    ) {
      for (const t of waiting) this.next(t);
      return true;
    }
    let any = false;
    for (let w = 0; w < this.threads.length; w += 32) {
      const warp = this.threads.slice(w, w + 32);
      const first = warp[0]!;
      if (!warp.every((t) => t.state === "waits" && t.pc === first.pc) || (at(first).op[0] === "bar" && at(first).op[1] === "sync"))
        continue;
      this.collective(at(first), warp);
      for (const t of warp) this.next(t);
      any = true;
    }
    return any;
  }
  private next(t: Thread): void {
    t.pc++;
    t.state = "runs";
  }

  // ---- operands
  private value(t: Thread, o: Operand): bigint {
    switch (o.kind) {
      case "register":
        return t.registers.get(o.name) ?? 0n;
      case "number":
        return o.value;
      case "symbol":
        return this.symbol(t, o.name);
      case "address":
        return this.value(t, o.base) + BigInt(o.offset);
      default:
        throw new InternalError("a list has no value");
    }
  }
  private symbol(t: Thread, name: string): bigint {
    const special: Record<string, number> = {
      "%tid.x": t.index,
      "%ctaid.x": this.index,
      "%ntid.x": this.launch.threads,
      "%nctaid.x": this.launch.blocks,
      "%laneid": t.index % 32,
    };
    if (special[name] !== undefined) return BigInt(special[name]);
    if (/^%(tid|ctaid)\.[yz]$/.test(name)) return 0n;
    if (name === "weft_shared" || name === this.entry.local.name) return 0n;
    const table = this.tables.findIndex(([n]) => n === name);
    if (table >= 0) return BigInt((this.buffers.length - this.tables.length + table + 1) * apart);
    throw new WeftError("R204", `${this.entry.name}: PTX names ${name}, which is not known`);
  }
  private set(t: Thread, o: Operand, v: bigint): void {
    if (o.kind === "register") t.registers.set(o.name, v);
    else if (!(o.kind === "symbol" && o.name === "_")) throw new InternalError("a result goes to a register");
  }
  /** Bytes at an address of a space. */
  private bytes(t: Thread, space: string, address: bigint, count: number, i: Instruction): Uint8Array {
    let at = Number(address);
    let memory: Uint8Array | undefined;
    if (space === "shared") memory = this.shared;
    else if (space === "local") memory = t.local;
    else {
      memory = this.buffers[Math.floor(at / apart) - 1];
      at %= apart;
    }
    if (memory === undefined || at < 0 || at + count > memory.length)
      this.fail(i, `byte ${at} of ${memory?.length ?? "no"} bytes of ${space} memory`);
    if (at % count !== 0) this.fail(i, `an access of ${count} bytes at ${at} is not aligned`);
    return memory.subarray(at, at + count);
  }

  // ---- one instruction of one thread
  private step(t: Thread): void {
    const i = this.entry.instructions[t.pc];
    if (i === undefined) {
      t.state = "ended";
      return;
    }
    if (i.guard && (t.registers.get(i.guard.register) === 1n) === i.guard.negated) {
      t.pc++;
      return;
    }
    const [name] = i.op;
    switch (name) {
      case "ret":
      case "exit":
        t.state = "ended";
        return;
      case "bra":
        t.pc = i.target!;
        return;
      case "bar":
      case "barrier":
      case "shfl":
      case "vote":
      case "ldmatrix":
      case "mma":
        t.state = "waits";
        return;
      case "ld":
      case "st":
        this.access(t, i);
        break;
      case "cp":
        this.copy(t, i);
        break;
      default: {
        const [to, ...from] = i.operands;
        if (to === undefined) this.fail(i, "no operand");
        const result = compute(
          i.op,
          from.map((o) => this.value(t, o)),
        );
        if (result === undefined) throw new WeftError("R204", `PTX line ${i.line}: ${i.op.join(".")} is not known here`);
        this.set(t, to, result);
      }
    }
    t.pc++;
  }
  private access(t: Thread, i: Instruction): void {
    const space = i.op.find((p) => ["param", "global", "shared", "local", "const"].includes(p)) ?? "global";
    const load = i.op[0] === "ld";
    const [register, place] = (load ? i.operands : [i.operands[1], i.operands[0]]) as [Operand, Extract<Operand, { kind: "address" }>];
    if (space === "param") {
      const k = this.entry.params.indexOf((place.base as { name: string }).name);
      this.set(t, register, BigInt((k + 1) * apart));
      return;
    }
    const list = register.kind === "list" ? register.items : [register];
    const size = Number(/\d+$/.exec(i.op.at(-1)!)![0]) / 8;
    const bytes = this.bytes(t, space, this.value(t, place), size * list.length, i);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    list.forEach((r, k) => {
      if (load) {
        let v = 0n;
        for (let b = size - 1; b >= 0; b--) v = (v << 8n) | BigInt(view.getUint8(k * size + b));
        this.set(t, r, i.op.at(-1)![0] === "s" ? BigInt.asUintN(64, BigInt.asIntN(size * 8, v)) : v);
        return;
      }
      const v = this.value(t, r);
      for (let b = 0; b < size; b++) view.setUint8(k * size + b, Number((v >> BigInt(8 * b)) & 255n));
    });
  }
  /** Copies beside the thread: what was read is kept, and arrives when it is waited for. */
  private copy(t: Thread, i: Instruction): void {
    if (i.op[2] === "commit_group") {
      t.groups.push(t.open);
      t.open = [];
    } else if (i.op[2] === "wait_group") {
      const pending = Number(this.value(t, i.operands[0]!));
      while (t.groups.length > pending) for (const c of t.groups.shift()!) this.shared.set(c.bytes, c.to);
    } else {
      const [to, from, size, used = size] = i.operands as [Operand, Operand, Operand, Operand?];
      const n = Number(this.value(t, size));
      const valid = Number(this.value(t, used as Operand));
      const bytes = new Uint8Array(n);
      if (valid > 0) bytes.set(this.bytes(t, "global", this.value(t, from), valid, i));
      this.bytes(t, "shared", this.value(t, to), n, i);
      t.open.push({ to: Number(this.value(t, to)), bytes });
    }
  }

  // ---- operations of a warp
  private collective(i: Instruction, warp: readonly Thread[]): void {
    const read = (t: Thread, o: Operand): number => Number(BigInt.asUintN(32, this.value(t, o)));
    const [name] = i.op;
    if (name === "bar" || name === "barrier") return;
    if (warp.length < 32) this.fail(i, "a warp of fewer than 32 threads");
    if (name === "shfl") {
      // The second result says whether the lane was inside.
      const two = i.operands.length === 6;
      const [a, b, c] = i.operands.slice(two ? 2 : 1) as [Operand, Operand, Operand];
      const given = warp.map((t) => this.value(t, a));
      warp.forEach((t, lane) => {
        const by = read(t, b) & 31;
        const clamp = read(t, c) & 31;
        const segment = (read(t, c) >> 8) & 31;
        const most = (lane & segment) | (clamp & ~segment & 31);
        const least = lane & segment;
        const [from, inside] =
          i.op[2] === "up"
            ? [lane - by, lane - by >= most]
            : i.op[2] === "down"
              ? [lane + by, lane + by <= most]
              : i.op[2] === "bfly"
                ? [lane ^ by, (lane ^ by) <= most]
                : [least | (by & ~segment), (least | (by & ~segment)) <= most];
        this.set(t, i.operands[0]!, given[inside ? from : lane]!);
        if (two) this.set(t, i.operands[1]!, inside ? 1n : 0n);
      });
    } else if (name === "vote") {
      const votes = warp.map((t) => this.value(t, i.operands[1]!) === 1n);
      const result =
        i.op[2] === "ballot"
          ? votes.reduce((m, v, k) => (v ? m | (1n << BigInt(k)) : m), 0n)
          : BigInt(i.op[2] === "any" ? votes.some((v) => v) : votes.every((v) => v));
      for (const t of warp) this.set(t, i.operands[0]!, result);
    } else if (name === "ldmatrix") this.loadMatrix(i, warp);
    else this.multiply(i, warp);
  }
  private loadMatrix(i: Instruction, warp: readonly Thread[]): void {
    const registers = (i.operands[0] as Extract<Operand, { kind: "list" }>).items;
    const transposed = i.op.includes("trans");
    registers.forEach((_, m) => {
      const rows = Array.from({ length: 8 }, (_, r) => {
        const t = warp[m * 8 + r]!;
        const bytes = this.bytes(t, "shared", this.value(t, i.operands[1]!), 16, i);
        return Array.from({ length: 8 }, (_, c) => bytes[2 * c]! | (bytes[2 * c + 1]! << 8));
      });
      warp.forEach((t, lane) => {
        const [across, along] = [lane >> 2, (lane & 3) * 2];
        const [low, high] = [0, 1].map((k) => (transposed ? rows[along + k]![across]! : rows[across]![along + k]!)) as [number, number];
        this.set(t, registers[m]!, BigInt(low | (high << 16)) & 0xffffffffn);
      });
    });
  }
  /** PTX ISA, "Matrix Fragments": m16n8k16 of 16-bit types, m16n8k32 of bytes; sums in the order of k. */
  private multiply(i: Instruction, warp: readonly Thread[]): void {
    const type = i.op[7]!;
    const bytes = type === "s8";
    const format = formats[(type.startsWith("e") ? `f8${type}` : type) as keyof typeof formats];
    const per = bytes ? 4 : 32 / format!.bits;
    const depth = 8 * per;
    const field = (w: number, k: number): number =>
      format ? decode(format, (w >>> (format.bits * k)) & (2 ** format.bits - 1)) : ((w >>> (8 * k)) << 24) >> 24;
    const items = (k: number): readonly Operand[] => (i.operands[k] as Extract<Operand, { kind: "list" }>).items;
    const a = new Float64Array(16 * depth);
    const b = new Float64Array(8 * depth);
    warp.forEach((t, lane) => {
      const [group, at] = [lane >> 2, lane & 3];
      items(1).forEach((o, w) => {
        const word = Number(this.value(t, o));
        for (let k = 0; k < per; k++) a[(group + (w & 1) * 8) * depth + at * per + k + (w >> 1) * 4 * per] = field(word, k);
      });
      items(2).forEach((o, w) => {
        const word = Number(this.value(t, o));
        for (let k = 0; k < per; k++) b[group * depth + at * per + k + w * 4 * per] = field(word, k);
      });
    });
    warp.forEach((t, lane) => {
      items(3).forEach((o, k) => {
        const row = (lane >> 2) + (k >> 1) * 8;
        const column = (lane & 3) * 2 + (k & 1);
        const start = Number(BigInt.asUintN(32, this.value(t, o)));
        let sum = bytes ? start | 0 : asFloat(start);
        for (let q = 0; q < depth; q++) {
          const product = a[row * depth + q]! * b[column * depth + q]!;
          sum = bytes ? (sum + product) | 0 : Math.fround(sum + product);
        }
        this.set(t, items(0)[k]!, BigInt(bytes ? sum >>> 0 : floatBits(sum)));
      });
    });
  }
}
