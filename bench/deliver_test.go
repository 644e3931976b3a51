package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir/pipeline"
	"weir/schemas"
)

// BenchmarkDeliver is what a delivery costs, as `weir run` wires it but without a broker and without
// decisions, which are encoded for many deliveries at once: from decoded rows to encoded predictions.
func BenchmarkDeliver(b *testing.B) {
	b.Chdir("..")
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "linear.onnx"), linearONNX(pixels, 10), 0o644); err != nil {
		b.Fatal(err)
	}
	imgs, err := images(256)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"linear", "fashion"} {
		w, err := newWhole(b.Context(), models(dir)[name], dir, nil, false)
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range []int{1, 8, 256} {
			for i, r := range jsonQueries(imgs[:rows]) {
				w.dec.Append(schemas.Record{Offset: int64(i), Key: r.Key, Value: r.Value})
			}
			rec := w.dec.Flush()
			b.Run(fmt.Sprintf("%s/%d", name, rows), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := w.owner.Deliver(b.Context(), pipeline.Delivery{Rows: rec, Next: w.offset + 1, Routed: func() {}}); err != nil {
						b.Fatal(err)
					}
					w.owner.Mark(int64(rows))
				}
			})
			rec.Release()
		}
		if err := w.close(); err != nil {
			b.Fatal(err)
		}
	}
}
