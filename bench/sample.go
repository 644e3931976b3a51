package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// soakWindow is how often a sample is taken.
const soakWindow = 10 * time.Second

// A sample is what a window of a soak ended with.
type sample struct {
	Minute            float64
	RSS, Heap         float64 // MB
	Goroutines, Files float64
	P50, P99          float64 // ms
	Answers           float64 // queries/s
}

const sampleHeader = "minute\trss_mb\theap_mb\tgoroutines\topen_files\tp50_ms\tp99_ms\tanswers_per_s"

func (p sample) row() string {
	return fmt.Sprintf("%.2f\t%.1f\t%.1f\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f", p.Minute, p.RSS, p.Heap, p.Goroutines, p.Files, p.P50, p.P99, p.Answers)
}

// sample samples until ctx ends, into a file that is whole after each line.
func (s *soak) sample(ctx context.Context) error {
	f, err := os.Create(filepath.Join(s.out, "samples.tsv"))
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintln(f, sampleHeader)
	s.progress("%s", sampleHeader)
	t := time.NewTicker(soakWindow)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		p, err := s.now(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the worker's metrics: %w; it said: %s", err, s.stage.said())
		}
		s.samples = append(s.samples, p)
		s.progress("%s", p.row())
		if _, err := fmt.Fprintln(f, p.row()); err != nil {
			return err
		}
	}
}

// now is the window that ends now.
func (s *soak) now(ctx context.Context) (p sample, err error) {
	m, err := gauges(ctx, s.admin, "process_resident_memory_bytes", "go_memstats_heap_inuse_bytes", "go_goroutines", "process_open_fds")
	if err != nil {
		return p, err
	}
	h := s.account.take()
	return sample{Minute: time.Since(s.account.start).Minutes(), RSS: m[0] / 1e6, Heap: m[1] / 1e6, Goroutines: m[2], Files: m[3],
		P50: millis(h.Quantile(0.50)), P99: millis(h.Quantile(0.99)), Answers: float64(h.Count()) / soakWindow.Seconds()}, nil
}

// gauges reads metrics without labels from an admin address, 0 for those that the system does not have.
func gauges(ctx context.Context, admin string, names ...string) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return readGauges(res.Body, names...)
}

func readGauges(r io.Reader, names ...string) ([]float64, error) {
	values := make([]float64, len(names))
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		for i, wanted := range names {
			if name != wanted {
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, err
			}
			values[i] = v
		}
	}
	return values, lines.Err()
}
