// Memory of the emulated device: buffers between red zones, shared memory, and a shadow cell for every byte. Finds accesses outside a buffer,
// reads of what nobody wrote, writes to what is only read, races within a block and between blocks, and accesses to copies in flight.
#include <sys/mman.h>
#include <algorithm>
#include "machine.h"

struct Region {
  char* base;
  size_t bytes;
  std::string name;
  bool writable;
  std::vector<Cell> cells;
};
static std::vector<Region*> regions;
static Region* last_region = nullptr;
static const size_t red_zone = 64 << 10;
static const size_t shared_zone = 4 << 10;
static uint32_t launch_count = 0;
static char* stacks = nullptr;
static size_t stack_bytes = 0;

static char* shared_base = nullptr;
static size_t shared_size = 0;
static bool shared_spread = false;
static std::vector<Region*> shared_regions;

void own_memory(char* from, size_t bytes) {
  stacks = from;
  stack_bytes = bytes;
}
static Region* region_of(const char* at) {
  if (last_region && at >= last_region->base && at < last_region->base + last_region->bytes) return last_region;
  for (const auto* list : {&regions, &shared_regions})
    for (Region* r : *list)
      if (at >= r->base && at < r->base + r->bytes) return last_region = r;
  return nullptr;
}
static Region* near(const char* at) {
  for (Region* r : shared_regions)
    if (at >= r->base - shared_zone && at < r->base + r->bytes + shared_zone) return r;
  for (Region* r : regions)
    if (at >= r->base - red_zone && at < r->base + r->bytes + red_zone) return r;
  return nullptr;
}
bool in_shared(const void* at, size_t bytes) {
  const Region* r = region_of((const char*)at);
  return r && (const char*)at + bytes <= r->base + r->bytes && std::find(shared_regions.begin(), shared_regions.end(), r) != shared_regions.end();
}
static const char* verb(Access how) { return how == reads || how == relaxed ? "reads" : "writes"; }

void access(const void* address, size_t bytes, Access how) {
  if (current < 0) return;
  const char* at = (const char*)address;
  if ((at >= stacks && at < stacks + stack_bytes) || (at >= (char*)&weft_place && at < (char*)(&weft_place + 1))) return;
  const int b = weft_place.block.x, t = weft_place.thread.x, w = t / 32;
  Region* r = region_of(at);
  if (!r || at + bytes > r->base + r->bytes) {
    Region* n = r ? r : near(at);
    if (n) fault("thread %d of block %d %s byte %ld of %s, which has %zu", t, b, verb(how), long(at - n->base), n->name.c_str(), n->bytes);
    else fault("thread %d of block %d %s memory of no buffer", t, b, verb(how));
    return give_up();
  }
  const bool write = how == writes || how == changes;
  if (write && !r->writable) fault("thread %d of block %d writes %s, which is only read", t, b, r->name.c_str());
  // What nobody writes was there before the launch, and no access to it can race.
  if (!r->writable && !write) return;
  const int warp_epoch = warp_epochs[w];
  for (size_t k = 0; k < bytes; k++) {
    Cell& c = r->cells[at - r->base + k];
    const long place = long(at - r->base + k);
    if (c.launch != launch_count) {
      c.launch = launch_count;
      c.write_block = c.read_block = -1;
      c.atomic = 0;
    }
    if (c.in_flight) {
      fault("thread %d of block %d %s %s[byte %ld] while a copy to it is in flight", t, b, verb(how), r->name.c_str(), place);
      return give_up();
    }
    const bool after_write = c.write_block == b && (c.write_thread == t || c.write_epoch < epoch || (c.write_thread / 32 == w && c.write_warp_epoch < warp_epoch));
    const bool after_read = c.read_block == b && (c.read_thread == t || c.read_epoch < epoch || (c.read_warp == w && c.read_warp_epoch < warp_epoch));
    const bool other_write = c.write_block >= 0 && !after_write && !((how == changes || how == relaxed) && c.atomic);
    const bool other_read = how == writes && c.read_block != -1 && !after_read;
    if (other_write) fault("%s[byte %ld]: block %d thread %d %s what block %d thread %d writes at the same time", r->name.c_str(), place, b, t, verb(how), c.write_block, c.write_thread);
    else if (other_read) fault("%s[byte %ld]: block %d thread %d writes what another reads at the same time", r->name.c_str(), place, b, t);
    if (other_write || other_read) return;
    if (!write && !c.initialised) {
      fault("thread %d of block %d reads %s[byte %ld], which nobody has written", t, b, r->name.c_str(), place);
      return;
    }
    if (write) {
      c.write_block = b;
      c.write_thread = t;
      c.write_epoch = epoch;
      c.write_warp_epoch = warp_epoch;
      c.initialised = 1;
      c.atomic = how == changes;
    } else if (c.read_block == -1 || (c.read_block == b && c.read_epoch < epoch)) {
      c.read_block = b;
      c.read_thread = t;
      c.read_warp = w;
      c.read_epoch = epoch;
      c.read_warp_epoch = warp_epoch;
    } else if (c.read_block != b) c.read_block = -2;
    else {
      if (c.read_thread != t) c.read_thread = -2;
      if (c.read_warp != w) c.read_warp = -2;
      c.read_warp_epoch = warp_epoch;
    }
  }
}
void mark_in_flight(const char* at, int bytes, bool on) {
  Region* r = region_of(at);
  if (!r) return;
  for (int k = 0; k < bytes; k++) r->cells[at - r->base + k].in_flight = on;
}

void memory_launch(size_t shared_bytes, bool spread) {
  launch_count++;
  last_region = nullptr;
  for (Region* r : shared_regions) delete r;
  shared_regions.clear();
  // Room for every array to have red zones of its own.
  const size_t room = shared_bytes * 2 + 64 * shared_zone;
  if (shared_base) munmap(shared_base, shared_size);
  shared_size = room;
  shared_spread = spread;
  shared_base = (char*)mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (!spread && shared_bytes > 0) shared_regions.push_back(new Region{shared_base + shared_zone, shared_bytes, "shared memory", true, std::vector<Cell>(shared_bytes)});
}
void memory_block() {
  for (Region* r : shared_regions) {
    memset(r->base, 0xff, r->bytes);
    std::fill(r->cells.begin(), r->cells.end(), Cell());
  }
}
extern "C" {
/** An array of shared memory: at its offset, or somewhere with room around it. */
void* weft_shared_array(const char* name, size_t offset, size_t bytes) {
  if (!shared_spread) return shared_base + shared_zone + offset;
  char* next = shared_base + shared_zone;
  for (Region* r : shared_regions) {
    if (r->name == name) return r->base;
    next = r->base + (r->bytes + shared_zone + 127) / 128 * 128;
  }
  if (next + bytes + shared_zone > shared_base + shared_size) {
    fault("no room for the shared array %s: more of them than the launch states bytes for", name);
    give_up();
  }
  Region* r = new Region{next, bytes, name, true, std::vector<Cell>(bytes)};
  memset(next, 0xff, bytes);
  shared_regions.push_back(r);
  return next;
}
unsigned weft_atomic(unsigned* at, unsigned value, int kind) {
  access(at, sizeof *at, changes);
  const unsigned old = *at;
  *at = kind == 0 ? old & value : old | value;
  return old;
}
unsigned weft_relaxed_load(const unsigned* at) {
  access(at, sizeof *at, relaxed);
  return *at;
}

// ---- what -fsanitize=thread and -fsanitize=bounds,alignment call
#define WATCH(bytes) \
  void __tsan_read##bytes(void* p) { access(p, bytes, reads); } \
  void __tsan_write##bytes(void* p) { access(p, bytes, writes); } \
  void __tsan_unaligned_read##bytes(void* p) { access(p, bytes, reads); } \
  void __tsan_unaligned_write##bytes(void* p) { access(p, bytes, writes); }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read_range(void* p, size_t n) { access(p, n, reads); }
void __tsan_write_range(void* p, size_t n) { access(p, n, writes); }
void __ubsan_handle_out_of_bounds(void*, void* index) {
  fault("thread %d of block %d indexes an array with %ld, outside it", weft_place.thread.x, weft_place.block.x, long((intptr_t)index));
  give_up();
}
void __ubsan_handle_type_mismatch_v1(void*, void* at) {
  if (current < 0) return;
  fault("thread %d of block %d makes a misaligned access, at %ld", weft_place.thread.x, weft_place.block.x, long((intptr_t)at & 15));
}
static void overflow(const char* what) {
  fault("thread %d of block %d: %s of signed integers leaves 32 bits, which C++ leaves undefined", weft_place.thread.x, weft_place.block.x, what);
}
void __ubsan_handle_add_overflow(void*, void*, void*) { overflow("a sum"); }
void __ubsan_handle_sub_overflow(void*, void*, void*) { overflow("a difference"); }
void __ubsan_handle_mul_overflow(void*, void*, void*) { overflow("a product"); }
void __ubsan_handle_negate_overflow(void*, void*) { overflow("a negation"); }
void __ubsan_handle_divrem_overflow(void*, void*, void*) { overflow("a quotient"); }

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
    munmap(r->base - red_zone, r->bytes + 2 * red_zone + 4096);
    delete r;
  }
  regions.clear();
  last_region = nullptr;
}
}
