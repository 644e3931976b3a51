//go:build !unix

package broker

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir opens the lock file for this process alone, as far as the system does that by itself.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "weir.lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("broker: data directory: %w", err)
	}
	return f, nil
}
