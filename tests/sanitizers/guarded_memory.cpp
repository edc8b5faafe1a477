// A memory allocator for LD_PRELOAD that ends a program at the instruction which touches memory
// that is not its own, whoever generated that instruction.
//
// AddressSanitizer sees only code that its compiler made: neither the kernels that oneDNN generates
// while a program runs nor the assembly of OpenBLAS. Here every block of GUARDED_MEMORY_FROM bytes
// or more (default: 256) has pages of its own, ends where an unmapped page begins (with
// GUARDED_MEMORY_BELOW=1: begins where one ends), and its addresses are never used again, so that
// the processor itself stops an access beyond the block or after free().
//
// New memory is filled with the byte GUARDED_MEMORY_FILL (default: 255, of which four are a NaN),
// so that a value read before it is written shows: by a NaN, or by another result for another byte.
// The bytes between a block's end and the page's, which alignment leaves, are checked when it is
// freed.
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* block);
}

namespace {

const size_t kPage = 4096, kReserved = size_t(16) << 40;
const unsigned char kSlack = 0xa5;

struct Settings {
  size_t from = 256;
  bool below = false;
  int fill = 255;

  Settings() {
    if (const char* text = getenv("GUARDED_MEMORY_FROM")) from = strtoul(text, nullptr, 10);
    if (const char* text = getenv("GUARDED_MEMORY_BELOW")) below = text[0] == '1';
    if (const char* text = getenv("GUARDED_MEMORY_FILL")) fill = atoi(text);
  }
};

const Settings& settings() {
  static const Settings values;
  return values;
}

[[noreturn]] void Stop(const char* what) {
  (void)!write(STDERR_FILENO, what, strlen(what));
  abort();
}

// Addresses without memory.
char* Reserve(size_t bytes) {
  void* const start =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) Stop("guarded_memory: no addresses to reserve\n");
  return static_cast<char*>(start);
}

char* Region() {
  static char* const start = Reserve(kReserved);
  return start;
}

struct Block {
  char* data;
  size_t size;
  char* first_page;
  size_t pages;
};

// The block that begins in a page, by the page's number in the region.
Block* BlockIn(const char* address) {
  static Block* const blocks = [] {
    char* const start = Reserve(kReserved / kPage * sizeof(Block));
    mprotect(start, kReserved / kPage * sizeof(Block), PROT_READ | PROT_WRITE);
    return reinterpret_cast<Block*>(start);
  }();
  return blocks + (address - Region()) / kPage;
}

bool Guarded(const void* block) {
  const char* const at = static_cast<const char*>(block);
  return at >= Region() && at < Region() + kReserved;
}

std::atomic<size_t> pages_used{0};

void* Allocate(size_t size, size_t alignment) {
  if (alignment < 16) alignment = 16;
  const size_t room = alignment > kPage ? size + alignment : size + kPage;
  const size_t pages = (room + kPage - 1) / kPage;
  const size_t at = pages_used.fetch_add(pages + 2);
  if ((at + pages + 2) * kPage > kReserved) Stop("guarded_memory: all addresses are used up\n");
  char* const first = Region() + (at + 1) * kPage;
  char* const end = first + pages * kPage;
  const uintptr_t place = settings().below
                              ? (reinterpret_cast<uintptr_t>(first) + alignment - 1) / alignment
                              : reinterpret_cast<uintptr_t>(end - size) / alignment;
  char* const data = reinterpret_cast<char*>(place * alignment);
  // Only the pages that the block touches get memory.
  char* const touched = data - (data - first) % kPage;
  char* const touched_end = touched + (data + size - touched + kPage - 1) / kPage * kPage;
  if (mprotect(touched, touched_end - touched, PROT_READ | PROT_WRITE)) {
    Stop("guarded_memory: no memory, or vm.max_map_count is too small\n");
  }
  memset(touched, kSlack, data - touched);
  memset(data, settings().fill, size);
  memset(data + size, kSlack, touched_end - data - size);
  *BlockIn(data) = Block{data, size, touched, size_t(touched_end - touched) / kPage};
  return data;
}

void CheckSlack(const char* from, const char* to) {
  for (; from < to; ++from) {
    if (static_cast<unsigned char>(*from) != kSlack) {
      Stop("guarded_memory: a block that is freed was written beyond\n");
    }
  }
}

void Free(void* memory) {
  Block* const block = BlockIn(static_cast<char*>(memory));
  if (block->data != memory) Stop("guarded_memory: free() of what is no block\n");
  char* const end = block->first_page + block->pages * kPage;
  CheckSlack(block->first_page, block->data);
  CheckSlack(block->data + block->size, end);
  block->data = nullptr;
  // Gives the memory back and keeps the addresses out of use.
  mmap(block->first_page, end - block->first_page, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

}  // namespace

extern "C" {

void* malloc(size_t size) {
  return size < settings().from ? __libc_malloc(size) : Allocate(size, 16);
}

void free(void* memory) { memory&& Guarded(memory) ? Free(memory) : __libc_free(memory); }

void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return errno = ENOMEM, nullptr;
  return bytes < settings().from ? __libc_calloc(count, size)
                                 : memset(Allocate(bytes, 16), 0, bytes);
}

void* realloc(void* memory, size_t size) {
  if (!memory) return malloc(size);
  if (!size) return free(memory), nullptr;
  if (!Guarded(memory) && size < settings().from) return __libc_realloc(memory, size);
  const size_t before = malloc_usable_size(memory);
  void* const moved = malloc(size);
  memcpy(moved, memory, before < size ? before : size);
  free(memory);
  return moved;
}

void* memalign(size_t alignment, size_t size) {
  return size < settings().from ? __libc_memalign(alignment, size) : Allocate(size, alignment);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}

size_t malloc_usable_size(void* memory) {
  if (!memory) return 0;
  if (Guarded(memory)) return BlockIn(static_cast<char*>(memory))->size;
  static const auto usable =
      reinterpret_cast<size_t (*)(void*)>(dlsym(RTLD_NEXT, "malloc_usable_size"));
  return usable(memory);
}

}  // extern "C"
