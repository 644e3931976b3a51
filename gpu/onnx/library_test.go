//go:build cgo

package onnx

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func onLinux(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a variable for the cache folder")
	}
}

// The library is looked for where scripts/onnxruntime puts it; WEIR_ORT_LIB comes first.
func TestLibrary(t *testing.T) {
	onLinux(t)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("WEIR_ORT_LIB", "")
	if path, err := library(); err == nil || !strings.Contains(err.Error(), "make runtime") {
		t.Fatalf("an empty cache: got %q and %v", path, err)
	}
	for _, version := range []string{"1.30.0", "1.32.0"} { // the newer one is preferred
		want := filepath.Join(cache, "weir", "onnxruntime-"+version, "libonnxruntime.so")
		if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(want, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := library(); got != want || err != nil {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
		t.Setenv("WEIR_ORT_LIB", want)
		if got, err := library(); got != want || err != nil {
			t.Errorf("by WEIR_ORT_LIB: got %q and %v, want %q", got, err, want)
		}
		t.Setenv("WEIR_ORT_LIB", "")
	}
	t.Setenv("WEIR_ORT_LIB", filepath.Join(cache, "absent.so"))
	if path, err := library(); err == nil || !strings.Contains(err.Error(), "WEIR_ORT_LIB") {
		t.Errorf("an absent file: got %q and %v", path, err)
	}
}

// The script that fetches the library and the package that opens it agree on where it lies.
func TestScriptPutsItThere(t *testing.T) {
	onLinux(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("WEIR_ORT_LIB", "")
	out, err := exec.Command(filepath.Join("..", "..", "scripts", "onnxruntime"), "--print").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(out))
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := library(); got != want || err != nil {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}
