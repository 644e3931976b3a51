// Package racing tells tests whether they run with the race detector, which makes them several times slower.
package racing

import "runtime/debug"

// Enabled says whether this program was built with the race detector.
func Enabled() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
