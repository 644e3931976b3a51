package schemas

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

const (
	alignment = 64
	minClass  = 6  // 64 bytes
	maxClass  = 24 // 16 MiB
)

// Allocator is what every batch of Weir is allocated from. Its pools are a cache, not state: nothing can be
// read back from them.
var Allocator = &Pool{}

// Pool is a memory.Allocator that keeps freed buffers for the next batch. Most of the price of decoding an
// Arrow batch is not the copy but Go's fresh, garbage-collected allocation of its buffers; reuse makes it
// several times cheaper. In exchange every record must be released exactly once: a buffer that is used
// after its release holds another batch's rows.
//
// Buffers are classed by powers of two from 64 bytes to 16 MiB and aligned to 64 bytes. Larger ones are
// rare and would pin memory for long, so they are left to Go's collector. The zero value is ready to use.
type Pool struct {
	inUse   atomic.Int64
	classes [maxClass + 1]sync.Pool
}

var _ memory.Allocator = (*Pool)(nil)

// InUse is the capacity in bytes of all buffers that were allocated and not yet freed.
func (p *Pool) InUse() int64 { return p.inUse.Load() }

// Allocate implements memory.Allocator. The bytes are zero: a null's value is never written, and must not
// carry another query's bytes into a message.
func (p *Pool) Allocate(size int) []byte {
	b, fresh := p.get(size)
	if !fresh {
		clear(b)
	}
	return b
}

// dirty is Allocate for callers that write every byte.
func (p *Pool) dirty(size int) []byte {
	b, _ := p.get(size)
	return b
}

func (p *Pool) get(size int) (b []byte, fresh bool) {
	class := class(size)
	if class > maxClass {
		p.inUse.Add(int64(size))
		return aligned(size), true
	}
	p.inUse.Add(1 << class)
	if ptr, ok := p.classes[class].Get().(*byte); ok {
		return unsafe.Slice(ptr, 1<<class)[:size], false
	}
	return aligned(1 << class)[:size], true
}

// Free implements memory.Allocator.
func (p *Pool) Free(b []byte) {
	if cap(b) == 0 {
		return
	}
	p.inUse.Add(-int64(cap(b)))
	if class := class(cap(b)); class <= maxClass && cap(b) == 1<<class {
		p.classes[class].Put(unsafe.SliceData(b))
	}
}

// Reallocate implements memory.Allocator. Bytes beyond the old length are zero. A builder that ends shrinks
// its buffer to what it used; that stays in place unless most of it would be wasted.
func (p *Pool) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) && (size >= cap(b)/4 || cap(b) == 1<<minClass) {
		grown := b[:size]
		if size > len(b) {
			clear(grown[len(b):])
		}
		return grown
	}
	grown, fresh := p.get(size)
	n := copy(grown, b)
	if !fresh {
		clear(grown[n:])
	}
	p.Free(b)
	return grown
}

// class is the power of two that holds size bytes.
func class(size int) int {
	return max(minClass, bits.Len(uint(max(size, 1)-1)))
}

// aligned returns size zero bytes at an address that is a multiple of 64, with exactly that capacity. Go
// aligns blocks of 64 bytes and more this way as it is, without promising to.
func aligned(size int) []byte {
	b := make([]byte, size)
	if addr := uintptr(unsafe.Pointer(unsafe.SliceData(b))); addr%alignment == 0 {
		return b[:size:size]
	}
	b = make([]byte, size+alignment)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (alignment - 1))
	return b[off : off+size : off+size]
}
