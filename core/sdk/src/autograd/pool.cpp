// An allocator for the elements of tensors on the CPU: it keeps small blocks that were freed, by size, for the thread that
// freed them. A small agent's step makes the same few dozen tensors again and again; in the C library's allocator, blocks of
// that alignment and of some kilobytes are cut from larger ones and joined with their neighbours each time, which takes longer
// than what is computed in them.
//
// Larger blocks, and the memory of small ones, come from `malloc`, with room to align them here. An allocator that aligns them
// itself cuts off what lies before, some bytes, and keeps those for later: then two large blocks that were freed side by side
// cannot be joined any more, and the heap grows.
//
// Rules: in front of each block lies a header of one line of the cache, which says what the block is. Where there is no memory,
// libtorch's own allocator is asked, for its message.
#include <c10/core/CPUAllocator.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace {

constexpr size_t LINE = 64;               // the alignment that libtorch's kernels expect
constexpr size_t SMALL = size_t(1) << 18; // larger blocks are not kept
constexpr size_t HELD = size_t(8) << 20;  // bytes that a thread keeps at most
// Sizes: multiples of a line up to 1 KiB, then four to each power of two up to SMALL.
constexpr size_t FINE = 1024 / LINE;
constexpr size_t CLASSES = FINE + 1 + 4 * 8;
constexpr size_t LARGE = SIZE_MAX;

struct alignas(LINE) Header {
  size_t size_class;  // LARGE: it goes back where it came from
  size_t bytes;
  Header *next;  // of those that are kept
  void *memory;  // what `malloc` returned; null: it is libtorch's
};
static_assert(sizeof(Header) == LINE);

// The class of a size, and the size that blocks of it have.
size_t class_of(size_t n, size_t *bytes) {
  if (n <= 1024) {
    size_t lines = (n + LINE - 1) / LINE;
    *bytes = lines * LINE;
    return lines;
  }
  size_t power = 63 - static_cast<size_t>(__builtin_clzll(n - 1));  // 2^power < n <= 2^(power + 1)
  size_t quarter = size_t(1) << (power - 2);
  size_t part = (n - 1 - (size_t(1) << power)) / quarter;  // 0…3
  *bytes = (size_t(1) << power) + (part + 1) * quarter;
  return FINE + 1 + 4 * (power - 10) + part;
}

struct Blocks {
  Header *first[CLASSES] = {};
  size_t bytes = 0;
  ~Blocks();
};
thread_local bool over = false;  // this thread ends, and what it held is freed already
thread_local Blocks spare;

at::Allocator *libtorchs() {
  static at::Allocator *own = c10::GetDefaultCPUAllocator();
  return own;
}

Header *make(size_t size_class, size_t bytes) {
  size_t all = bytes + sizeof(Header), room = all + LINE;
  if (room < bytes) libtorchs()->raw_allocate(bytes);  // no memory is that large: it throws
  void *memory = std::malloc(room);
  void *place = memory;
  if (memory) {
    std::align(LINE, all, place, room);
  } else {
    place = libtorchs()->raw_allocate(all);
  }
  return new (place) Header{size_class, bytes, nullptr, memory};
}

void give_back(Header *header) {
  if (header->memory) {
    std::free(header->memory);
  } else {
    libtorchs()->raw_deallocate(header);
  }
}

Blocks::~Blocks() {
  over = true;
  for (auto *header : first) {
    while (header) {
      auto *next = header->next;
      give_back(header);
      header = next;
    }
  }
}

void release(void *data) {
  if (!data) return;
  auto *header = static_cast<Header *>(data) - 1;
  if (header->size_class != LARGE && !over && spare.bytes + header->bytes <= HELD) {
    header->next = spare.first[header->size_class];
    spare.first[header->size_class] = header;
    spare.bytes += header->bytes;
    return;
  }
  give_back(header);
}

struct Pool final : at::Allocator {
  at::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &release, at::Device(at::DeviceType::CPU)};
    size_t size_class = LARGE, bytes = n;
    Header *header = nullptr;
    if (n <= SMALL) {
      size_class = class_of(n, &bytes);
      header = over ? nullptr : spare.first[size_class];
      if (header) {
        spare.first[size_class] = header->next;
        spare.bytes -= bytes;
      }
    }
    if (!header) header = make(size_class, bytes);
    void *data = header + 1;
    return {data, data, &release, at::Device(at::DeviceType::CPU)};
  }

  at::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void *to, const void *from, size_t n) const override { default_copy_data(to, from, n); }
};

}  // namespace

// From now on tensors on the CPU get their memory here. Once in a process, before there is a second thread.
extern "C" void efference_autograd_keep_blocks() {
  static Pool pool;
  c10::SetCPUAllocator(&pool, /*priority=*/1);
}
