//go:build cgo

package inference

import (
	"path/filepath"
	"strings"
	"testing"

	"weir/gpu"
	"weir/gpu/onnx"
	"weir/pipeline/stagetest"
)

// The laws hold on a device too, though the size of a batch may change the last bits there.
func TestPredictLawsOnDevice(t *testing.T) {
	rt, err := onnx.Open(t.Context(), filepath.Join("..", "..", "examples", "fashion", "models", "heavy.onnx"), gpu.OpenOptions{Threads: 1})
	if err != nil && strings.Contains(err.Error(), "make runtime") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := bound(t, Predict{Inputs: map[string]string{"pixels": "pixels"}, Outputs: map[string]string{"logits": "logits"}}, serve(t, rt, gpu.Options{}))
	image := "[" + strings.TrimSuffix(strings.Repeat("7 ", 784), " ") + "]"
	stagetest.Laws(t, p, stagetest.Tolerance(1e-3), stagetest.Sample(
		"query_id  pixels:fixed_list<uint8>[784]  _deadline  _status  _reason_code  _reason_column  _reason_message\na  "+
			image+"  null  open  null  null  null\n"))
}
