// Runs CUDA kernels on a CPU, one fiber a thread, blocks one after another, and watches every access (see emulator.h):
// outside a buffer, uninitialised, writing what is only read, races within a block and between blocks, barriers that not all threads reach.
#include <sys/mman.h>
#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct WeftIndex {
  int x, y, z;
};
extern "C" {
struct WeftPlace {
  WeftIndex thread, block, threads, blocks;
} weft_place;
extern char __start_weft_shared[] __attribute__((weak));
extern char __stop_weft_shared[] __attribute__((weak));
}

// ---- faults
static std::vector<std::string> faults;
static const size_t most_faults = 20;
static std::string kernel_name;
static void fault(const char* format, ...) {
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
struct Context {
  void* sp = nullptr;
};
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
struct Context {
  ucontext_t u;
};
static void enter(Context& c, char* stack, void (*run)()) {
  getcontext(&c.u);
  c.u.uc_stack.ss_sp = stack;
  c.u.uc_stack.ss_size = stack_bytes;
  c.u.uc_link = nullptr;
  makecontext(&c.u, run, 0);
}
static void change(Context& from, Context& to) { swapcontext(&from.u, &to.u); }
#endif

enum State { ready, waiting, ended };
struct Fiber {
  Context context;
  State state = ready;
  int line = 0;
};
static std::vector<Fiber> fibers;
static char* stacks = nullptr;
static size_t stacks_held = 0;
static Context scheduler;
static int current = -1;
static bool given_up = false;
static void (*entry)(void**) = nullptr;
static void** entry_args = nullptr;

static void back() { change(fibers[current].context, scheduler); }
static void give_up() {
  given_up = true;
  back();
}
static void fiber_main() {
  entry(entry_args);
  fibers[current].state = ended;
  back();
}
extern "C" void weft_barrier(int line) {
  Fiber& f = fibers[current];
  f.state = waiting;
  f.line = line;
  back();
}

// ---- memory and its shadow, a cell a byte
struct Cell {
  uint32_t launch = 0;
  int32_t write_block = -1, write_thread = -1, write_epoch = -1;
  int32_t read_block = -1, read_thread = -1, read_epoch = -1;  // -2: several
  uint8_t initialised = 0, atomic = 0;
};
struct Region {
  char* base;
  size_t bytes;
  std::string name;
  bool writable;
  std::vector<Cell> cells;
};
static std::vector<Region*> regions;
static Region* shared_region = nullptr;
static Region* last_region = nullptr;
static const size_t red_zone = 64 << 10;
static uint32_t launch_count = 0;
static int epoch = 0;

static Region* region_of(const char* at) {
  if (last_region && at >= last_region->base && at < last_region->base + last_region->bytes) return last_region;
  for (Region* r : regions)
    if (at >= r->base && at < r->base + r->bytes) return last_region = r;
  return nullptr;
}
static Region* near(const char* at) {
  for (Region* r : regions)
    if (at >= r->base - red_zone && at < r->base + r->bytes + red_zone) return r;
  return nullptr;
}
static void access(const void* address, size_t bytes, bool write, bool atomic = false) {
  if (current < 0) return;
  const char* at = (const char*)address;
  if ((at >= stacks && at < stacks + stacks_held) || (at >= (char*)&weft_place && at < (char*)(&weft_place + 1))) return;
  Region* r = region_of(at);
  if (!r || at + bytes > r->base + r->bytes) {
    Region* n = r ? r : near(at);
    if (n) fault("thread %d of block %d %s byte %ld of %s, which has %zu", weft_place.thread.x, weft_place.block.x, write ? "writes" : "reads", long(at - n->base), n->name.c_str(), n->bytes);
    else fault("thread %d of block %d %s memory of no buffer", weft_place.thread.x, weft_place.block.x, write ? "writes" : "reads");
    return give_up();
  }
  if (write && !r->writable) fault("thread %d of block %d writes %s, which is only read", weft_place.thread.x, weft_place.block.x, r->name.c_str());
  const int b = weft_place.block.x, t = weft_place.thread.x;
  for (size_t k = 0; k < bytes; k++) {
    Cell& c = r->cells[at - r->base + k];
    if (c.launch != launch_count) {
      c.launch = launch_count;
      c.write_block = c.read_block = -1;
      c.atomic = 0;
    }
    const bool other_write = c.write_block >= 0 && (c.write_block != b || (c.write_thread != t && c.write_epoch == epoch)) && !(atomic && c.atomic);
    const bool other_read = write && c.read_block != -1 && !atomic && (c.read_block != b || (c.read_epoch == epoch && c.read_thread != t));
    if (other_write) fault("%s[byte %ld]: block %d thread %d %s what block %d thread %d writes at the same time", r->name.c_str(), long(at - r->base + k), b, t, write ? "writes" : "reads", c.write_block, c.write_thread);
    else if (other_read) fault("%s[byte %ld]: block %d thread %d writes what another reads at the same time", r->name.c_str(), long(at - r->base + k), b, t);
    if (other_write || other_read) return;
    if (!write && !c.initialised) {
      fault("thread %d of block %d reads %s[byte %ld], which nobody has written", t, b, r->name.c_str(), long(at - r->base + k));
      return;
    }
    if (write) {
      c.write_block = b;
      c.write_thread = t;
      c.write_epoch = epoch;
      c.initialised = 1;
      c.atomic = atomic;
    } else if (c.read_block == -1) {
      c.read_block = b;
      c.read_thread = t;
      c.read_epoch = epoch;
    } else if (c.read_block != b) c.read_block = -2;
    else if (c.read_epoch != epoch) {
      c.read_epoch = epoch;
      c.read_thread = t;
    } else if (c.read_thread != t) c.read_thread = -2;
  }
}
extern "C" unsigned weft_atomic(unsigned* at, unsigned value, int kind) {
  access(at, sizeof *at, true, true);
  const unsigned old = *at;
  *at = kind == 0 ? old & value : old | value;
  return old;
}

extern "C" unsigned weft_relaxed_load(const unsigned* at) {
  access(at, sizeof *at, false, true);
  return *at;
}

// ---- what -fsanitize=thread and -fsanitize=bounds,alignment call
extern "C" {
#define WATCH(bytes) \
  void __tsan_read##bytes(void* p) { access(p, bytes, false); } \
  void __tsan_write##bytes(void* p) { access(p, bytes, true); } \
  void __tsan_unaligned_read##bytes(void* p) { access(p, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* p) { access(p, bytes, true); }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read_range(void* p, size_t n) { access(p, n, false); }
void __tsan_write_range(void* p, size_t n) { access(p, n, true); }
void __ubsan_handle_out_of_bounds(void*, void* index) {
  fault("thread %d of block %d indexes an array with %ld, outside it", weft_place.thread.x, weft_place.block.x, long((intptr_t)index));
  give_up();
}
void __ubsan_handle_type_mismatch_v1(void*, void* at) {
  if (current < 0) return;
  fault("thread %d of block %d makes a misaligned access, at %ld", weft_place.thread.x, weft_place.block.x, long((intptr_t)at & 15));
}
}

// ---- what the harness calls
struct Named {
  void (*call)(void**);
};
static std::map<std::string, Named>& entries() {
  static std::map<std::string, Named> all;
  return all;
}
extern "C" {
void weft_define(const char* name, void (*call)(void**)) { entries()[name] = {call}; }

/** Memory for a buffer: between red zones, filled with NaN bits where nothing is given. */
void* weft_allocate(const char* name, const void* data, size_t bytes, int writable, int initialised) {
  Region* r = new Region{nullptr, bytes, name, writable != 0, std::vector<Cell>(bytes)};
  char* all = (char*)mmap(nullptr, bytes + 2 * red_zone + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  r->base = all + red_zone;
  if (initialised) memcpy(r->base, data, bytes);
  else memset(r->base, 0xff, bytes);
  for (Cell& c : r->cells) c.initialised = initialised != 0;
  regions.push_back(r);
  return r->base;
}
void weft_read(void* from, void* into, size_t bytes) { memcpy(into, from, bytes); }
void weft_release() {
  for (Region* r : regions) {
    // Shared memory is a section of the library.
    if (r != shared_region) munmap(r->base - red_zone, r->bytes + 2 * red_zone + 4096);
    delete r;
  }
  regions.clear();
  shared_region = last_region = nullptr;
}
int weft_fault_count() { return int(faults.size()); }
const char* weft_fault(int k) { return faults[k].c_str(); }
void weft_clear() { faults.clear(); }

/** order: 0 first to last, 1 last to first, other: a seed. Returns 0, or 1 where the kernel is not known. */
int weft_run(const char* name, void** args, int blocks, int threads, int order) {
  auto found = entries().find(name);
  if (found == entries().end()) return 1;
  kernel_name = name;
  entry = found->second.call;
  entry_args = args;
  launch_count++;
  given_up = false;
  if (stacks_held < threads * stack_bytes) {
    if (stacks) munmap(stacks, stacks_held);
    stacks_held = threads * stack_bytes;
    stacks = (char*)mmap(nullptr, stacks_held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  const size_t shared_bytes = __stop_weft_shared - __start_weft_shared;
  if (!shared_region && shared_bytes > 0) {
    shared_region = new Region{__start_weft_shared, shared_bytes, "shared memory", true, std::vector<Cell>(shared_bytes)};
    regions.push_back(shared_region);
  }
  weft_place.threads = {threads, 1, 1};
  weft_place.blocks = {blocks, 1, 1};
  uint32_t state = order > 1 ? uint32_t(order) * 2654435761u | 1 : 1;
  std::vector<int> queue(threads);
  for (int b = 0; b < blocks && !given_up; b++) {
    weft_place.block = {b, 0, 0};
    epoch = 0;
    if (shared_region) {
      memset(shared_region->base, 0xff, shared_bytes);
      std::fill(shared_region->cells.begin(), shared_region->cells.end(), Cell());
    }
    fibers.assign(threads, Fiber());
    for (int t = 0; t < threads; t++) enter(fibers[t].context, stacks + t * stack_bytes, fiber_main);
    for (;;) {
      for (int t = 0; t < threads; t++) queue[t] = order == 1 ? threads - 1 - t : t;
      if (order > 1)
        for (int t = threads - 1; t > 0; t--) {
          state ^= state << 13;
          state ^= state >> 17;
          state ^= state << 5;
          std::swap(queue[t], queue[state % (t + 1)]);
        }
      for (int t : queue) {
        if (fibers[t].state != ready || given_up) continue;
        current = t;
        weft_place.thread = {t, 0, 0};
        change(scheduler, fibers[t].context);
        current = -1;
      }
      if (given_up) break;
      int waits = 0, line = 0;
      bool divergent = false;
      for (Fiber& f : fibers) {
        if (f.state != waiting) continue;
        if (waits++ > 0 && f.line != line) divergent = true;
        line = f.line;
      }
      if (waits == 0) break;
      if (divergent) fault("block %d: threads wait at different barriers", b);
      if (waits < threads) fault("block %d: %d of %d threads reach the barrier in line %d", b, waits, threads, line);
      if (divergent || waits < threads) {
        given_up = true;
        break;
      }
      epoch++;
      for (Fiber& f : fibers) f.state = ready;
    }
  }
  current = -1;
  return 0;
}
}
