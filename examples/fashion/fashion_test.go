// Package fashion_test holds the example's files to what they promise each other.
package fashion_test

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The gate's threshold is the one that was calibrated, with the models that lie here.
func TestCalibration(t *testing.T) {
	var calibration struct {
		Gate    string            `json:"gate"`
		Score   string            `json:"score"`
		AtLeast float64           `json:"at_least"`
		SHA256  map[string]string `json:"sha256"`
	}
	if err := json.Unmarshal(read(t, "models/calibration.json"), &calibration); err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Models map[string]struct{ Path string }
		Stages []struct {
			Gate *struct {
				Name, Score string
				AtLeast     float64 `yaml:"at_least"`
			}
		}
	}
	if err := yaml.Unmarshal(read(t, "fashion.yaml"), &spec); err != nil {
		t.Fatal(err)
	}
	gates := 0
	for _, stage := range spec.Stages {
		if g := stage.Gate; g != nil {
			gates++
			if g.Name != calibration.Gate || g.Score != calibration.Score || g.AtLeast != calibration.AtLeast {
				t.Errorf("fashion.yaml has gate %+v, calibration.json %+v: run `make calibrate`", *g, calibration)
			}
		}
	}
	if gates != 1 {
		t.Errorf("%d gates in fashion.yaml, want 1", gates)
	}
	total := 0
	for name, model := range spec.Models {
		raw := read(t, model.Path)
		total += len(raw)
		sum := sha256.Sum256(raw)
		if got, want := hex.EncodeToString(sum[:]), calibration.SHA256[name]; got != want {
			t.Errorf("%s has digest %s, but %q was calibrated: run `make calibrate`", model.Path, got, want)
		}
	}
	if len(spec.Models) != len(calibration.SHA256) || total == 0 || total > 10<<20 {
		t.Errorf("%d models of %d bytes, want %d below 10 MiB", len(spec.Models), total, len(calibration.SHA256))
	}
}

// The sample is what the demo needs: 6,000 different images, equally many of each label, below 3 MB.
func TestSample(t *testing.T) {
	const perLabel, maxBytes = 600, 3_000_000
	labels := strings.Split(strings.TrimSuffix(string(read(t, "labels.txt")), "\n"), "\n")
	file, err := os.Open("sample.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() > maxBytes {
		t.Errorf("sample.ndjson.gz: %v, %d bytes, want at most %d", err, info.Size(), maxBytes)
	}
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	count, seen := map[string]int{}, map[string]bool{}
	lines := bufio.NewScanner(unzipped)
	for n := 1; lines.Scan(); n++ {
		var row map[string]string
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		pixels, err := base64.StdEncoding.DecodeString(row["pixels"])
		if err != nil || len(pixels) != 784 || len(row) != 2 || seen[row["pixels"]] {
			t.Fatalf("line %d: %v, %d pixels, %d fields, seen before: %v", n, err, len(pixels), len(row), seen[row["pixels"]])
		}
		seen[row["pixels"]] = true
		count[row["label"]]++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, label := range labels {
		if count[label] != perLabel {
			t.Errorf("label %q: %d images, want %d", label, count[label], perLabel)
		}
	}
	if len(count) != len(labels) || len(labels) != 10 {
		t.Errorf("%d labels in the sample, %d in labels.txt, want 10", len(count), len(labels))
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
