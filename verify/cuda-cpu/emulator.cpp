// Runs CUDA kernels on a CPU, one fiber a thread, blocks one after another (see emulator.h). Here: faults, fibers, barriers, launches.
#include <sys/mman.h>
#include <cstdarg>
#include <map>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#include "machine.h"

extern "C" {
WeftPlace weft_place;
}
std::vector<Fiber> fibers;
int current = -1;
int epoch = 0;
std::vector<int> warp_epochs;
int matrix_model = 1;

// ---- faults
static std::vector<std::string> faults;
static const size_t most_faults = 20;
static std::string kernel_name;
void fault(const char* format, ...) {
  if (faults.size() >= most_faults) return;
  char text[400];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  faults.push_back(kernel_name + ": " + text);
}

// ---- fibers
static const size_t stack_bytes = 256 << 10;
#if defined(__x86_64__)
extern "C" void weft_switch(void** from, void* to);
asm(R"(
.text
.globl weft_switch
.type weft_switch, @function
weft_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void enter(Context& c, char* stack, void (*run)()) {
  void** top = (void**)(stack + stack_bytes);
  *--top = nullptr;  // keeps the stack aligned as a call would
  *--top = (void*)run;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  c.sp = top;
}
static void change(Context& from, Context& to) { weft_switch(&from.sp, to.sp); }
#else
static ucontext_t* of(Context& c) {
  if (!c.u) c.u = new ucontext_t();
  return (ucontext_t*)c.u;
}
static void enter(Context& c, char* stack, void (*run)()) {
  ucontext_t* u = of(c);
  getcontext(u);
  u->uc_stack.ss_sp = stack;
  u->uc_stack.ss_size = stack_bytes;
  u->uc_link = nullptr;
  makecontext(u, run, 0);
}
static void change(Context& from, Context& to) { swapcontext(of(from), of(to)); }
#endif

static char* stacks = nullptr;
static size_t stacks_held = 0;
static Context scheduler;
static bool given_up = false;
static void (*entry)(void**) = nullptr;
static void** entry_args = nullptr;

void park() { change(fibers[current].context, scheduler); }
void give_up() {
  given_up = true;
  park();
}
static void fiber_main() {
  entry(entry_args);
  end_of_thread();
  fibers[current].state = ended;
  park();
}
extern "C" void weft_barrier(int line) {
  Fiber& f = fibers[current];
  f.state = at_barrier;
  f.line = line;
  park();
}
/** Nobody can run. True where the block is at a barrier and may go on, or at its end; a fault where it hangs. */
static bool settle(int block, bool& over) {
  const int threads = int(fibers.size());
  int waits = 0, line = 0;
  bool divergent = false;
  over = true;
  for (int t = 0; t < threads; t++) {
    Fiber& f = fibers[t];
    if (f.state == at_warp) {
      unsigned there = 0;
      for (int l = 0; l < 32 && t / 32 * 32 + l < threads; l++) {
        const Fiber& other = fibers[t / 32 * 32 + l];
        if (other.state == at_warp && other.kind == f.kind && other.line == f.line) there |= 1u << l;
      }
      fault("block %d warp %d: lanes %08x wait in line %d for lanes %08x", block, t / 32, there, f.line, f.mask & ~there);
      return false;
    }
    if (f.state != at_barrier) continue;
    over = false;
    if (waits++ > 0 && f.line != line) divergent = true;
    line = f.line;
  }
  if (over) return true;
  if (divergent) fault("block %d: threads wait at different barriers", block);
  if (waits < threads) fault("block %d: %d of %d threads reach the barrier in line %d", block, waits, threads, line);
  return !divergent && waits == threads;
}
static void run_block(int block, int order, uint32_t& seed) {
  const int threads = int(fibers.size());
  std::vector<int> queue(threads);
  for (;;) {
    for (int t = 0; t < threads; t++) queue[t] = order == 1 ? threads - 1 - t : t;
    if (order > 1)
      for (int t = threads - 1; t > 0; t--) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        std::swap(queue[t], queue[seed % (t + 1)]);
      }
    bool ran = false;
    for (int t : queue) {
      if (fibers[t].state != ready || given_up) continue;
      ran = true;
      current = t;
      weft_place.thread = {t, 0, 0};
      change(scheduler, fibers[t].context);
      current = -1;
    }
    if (given_up) return;
    if (ran) continue;
    bool over = false;
    if (!settle(block, over)) given_up = true;
    if (over || given_up) return;
    epoch++;
    for (Fiber& f : fibers) f.state = ready;
  }
}

// ---- what the harness calls
static std::map<std::string, void (*)(void**)>& entries() {
  static std::map<std::string, void (*)(void**)> all;
  return all;
}
extern "C" {
void weft_define(const char* name, void (*call)(void**)) { entries()[name] = call; }
int weft_fault_count() { return int(faults.size()); }
const char* weft_fault(int k) { return faults[k].c_str(); }
void weft_clear() { faults.clear(); }
/** How the matrix unit adds (matrix.cpp). */
void weft_matrix_model(int model) { matrix_model = model; }

/**
 * order: 0 first to last, 1 last to first, other: a seed. spread: red zones around each array of shared memory, rather than the exact layout.
 * Returns 0, or 1 where the kernel is not known.
 */
int weft_run(const char* name, void** args, int blocks, int threads, int shared_bytes, int order, int spread) {
  auto found = entries().find(name);
  if (found == entries().end()) return 1;
  kernel_name = name;
  entry = found->second;
  entry_args = args;
  given_up = false;
  if (stacks_held < threads * stack_bytes) {
    if (stacks) munmap(stacks, stacks_held);
    stacks_held = threads * stack_bytes;
    stacks = (char*)mmap(nullptr, stacks_held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  own_memory(stacks, stacks_held);
  memory_launch(shared_bytes, spread != 0);
  weft_place.threads = {threads, 1, 1};
  weft_place.blocks = {blocks, 1, 1};
  uint32_t seed = order > 1 ? uint32_t(order) * 2654435761u | 1 : 1;
  for (int b = 0; b < blocks && !given_up; b++) {
    weft_place.block = {b, 0, 0};
    epoch = 0;
    warps_of_block((threads + 31) / 32);
    memory_block();
    fibers.assign(threads, Fiber());
    for (int t = 0; t < threads; t++) enter(fibers[t].context, stacks + t * stack_bytes, fiber_main);
    run_block(b, order, seed);
  }
  current = -1;
  return 0;
}
}
