/** The frames of generated files: headers, entry points, bindings. Templates decide nothing; a typed context goes in. */
import Handlebars from "handlebars";

const compile = <T>(text: string): ((context: T) => string) => Handlebars.compile<T>(text, { noEscape: true, strict: true });

export interface WgslFrame {
  readonly title: string;
  /** Lanes read each other's registers: a thread's number is that of its lane in its subgroup. */
  readonly subgroups: boolean;
  /** It names the type of halves. */
  readonly halves: boolean;
  readonly fields: readonly string[];
  readonly bindings: readonly string[];
  readonly helpers: readonly string[];
  readonly entries: readonly {
    readonly name: string;
    readonly shared: readonly string[];
    readonly threads: number;
    readonly blocks: string;
    readonly body: string;
  }[];
}
export const wgslFrame = compile<WgslFrame>(`// {{title}}
{{#if halves}}
enable f16;
{{/if}}
{{#if subgroups}}
enable subgroups;
requires subgroup_id;
{{/if}}
struct Args {
{{#each fields}}
  {{this}},
{{/each}}
}
@group(0) @binding(0) var<uniform> args: Args;
{{#each bindings}}
{{this}}
{{/each}}
{{#each helpers}}

{{this}}
{{/each}}
{{#each entries}}
{{#each shared}}

{{this}}
{{/each}}

@compute @workgroup_size({{threads}})
fn {{name}}({{#if ../subgroups}}@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32{{else}}@builtin(local_invocation_index) local: u32{{/if}}, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let thread = i32({{#if ../subgroups}}subgroup * lanes + lane{{else}}local{{/if}});
  let block = i32(group.x + group.y * groups.x);
  if (block >= {{blocks}}) { return; }
{{body}}
}
{{/each}}
`);

export interface CudaFrame {
  readonly title: string;
  readonly helpers: readonly string[];
  readonly entries: readonly {
    readonly name: string;
    readonly params: string;
    readonly shared: readonly string[];
    readonly threads: number;
    readonly beside: number;
    readonly places: readonly string[];
    readonly body: string;
  }[];
}
export const cudaFrame = compile<CudaFrame>(`// {{title}}
{{#each helpers}}

{{this}}
{{/each}}
{{#each entries}}

extern "C" __global__ void __launch_bounds__({{threads}}, {{beside}}) {{name}}({{params}}) {
{{#each shared}}
  {{this}}
{{/each}}
{{#each places}}
  {{this}}
{{/each}}
{{body}}
}
{{/each}}
`);

export interface ManyFrame {
  readonly title: string;
  readonly entry: string;
  /** The type of what differs between calls. */
  readonly call: string;
  readonly helpers: readonly string[];
  readonly fields: readonly string[];
  readonly locals: readonly string[];
  readonly threads: number;
  readonly usesThread: boolean;
  readonly body: string;
}
export const manyFrame = compile<ManyFrame>(`// {{title}}: many calls in one launch
{{#each helpers}}

{{this}}
{{/each}}

struct {{call}} {
{{#each fields}}
  {{this}}
{{/each}}
};

// The blocks of call c are those from firsts[c] on: which call has a block.
static __device__ __forceinline__ int weft_call_of(const int* __restrict__ firsts, int count, int block) {
  int low = 0;
  for (int high = count - 1; low < high;) {
    const int middle = (low + high + 1) / 2;
    if (firsts[middle] <= block) low = middle;
    else high = middle - 1;
  }
  return low;
}

extern "C" __global__ void __launch_bounds__({{threads}}, 1) {{entry}}(const {{call}}* __restrict__ weft_calls, const int* __restrict__ weft_firsts, int weft_count) {
  const int weft_at = weft_call_of(weft_firsts, weft_count, blockIdx.x);
  const {{call}} weft_call = weft_calls[weft_at];
{{#if usesThread}}
  const int thread = threadIdx.x;
{{/if}}
  const int block = blockIdx.x - weft_firsts[weft_at];
{{#each locals}}
  {{this}}
{{/each}}
{{body}}
}
`);
