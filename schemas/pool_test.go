package schemas

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestPoolIsAnAllocator drives a pool by random steps and checks every buffer against a plain copy of what
// it should hold.
func TestPoolIsAnAllocator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Pool{}
		type block struct{ got, want []byte }
		var blocks []block
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{1 << 10, 1<<12 + 1, 1 << 14}))
		check := func(b block) {
			if string(b.got) != string(b.want) {
				t.Fatal("a buffer does not hold what was written")
			}
			if cap(b.got) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b.got)))%64 != 0 {
				t.Fatal("a buffer is not aligned")
			}
		}
		fill := func(b block, from int) {
			for i := from; i < len(b.got); i++ {
				if b.got[i] != 0 {
					t.Fatal("fresh bytes are not zero")
				}
				b.got[i], b.want[i] = byte(i*7+len(blocks)), byte(i*7+len(blocks))
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			n := size.Draw(t, "size")
			at := rapid.IntRange(0, max(len(blocks)-1, 0)).Draw(t, "at")
			switch op := rapid.IntRange(0, 2).Draw(t, "op"); {
			case op == 0 || len(blocks) == 0:
				b := block{p.Allocate(n), make([]byte, n)}
				fill(b, 0)
				blocks = append(blocks, b)
			case op == 1:
				old := len(blocks[at].want)
				b := block{p.Reallocate(n, blocks[at].got), append([]byte(nil), make([]byte, n)...)}
				copy(b.want, blocks[at].want)
				check(block{b.got[:min(old, n)], b.want[:min(old, n)]})
				fill(b, min(old, n))
				blocks[at] = b
			default:
				check(blocks[at])
				p.Free(blocks[at].got)
				blocks = append(blocks[:at], blocks[at+1:]...)
			}
			for _, b := range blocks {
				check(b)
			}
		}
		for _, b := range blocks {
			p.Free(b.got)
		}
		if p.InUse() != 0 {
			t.Fatalf("%d bytes in use after everything was freed", p.InUse())
		}
	})
}

func TestPoolDoesNotKeepLargeBuffers(t *testing.T) {
	p := &Pool{}
	b := p.Allocate(1<<maxClass + 1)
	if p.InUse() != 1<<maxClass+1 {
		t.Errorf("got %d bytes in use", p.InUse())
	}
	b[1<<maxClass] = 7
	b = p.Reallocate(1<<maxClass+2, b)
	if p.InUse() != 1<<maxClass+2 || b[1<<maxClass] != 7 || b[1<<maxClass+1] != 0 {
		t.Errorf("got %d bytes in use", p.InUse())
	}
	p.Free(b)
	if p.InUse() != 0 {
		t.Errorf("got %d bytes in use", p.InUse())
	}
	for i := range p.classes {
		if p.classes[i].Get() != nil {
			t.Errorf("class %d kept a buffer", i)
		}
	}
}
