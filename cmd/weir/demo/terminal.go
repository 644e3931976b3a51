package demo

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/lipgloss"
	"golang.org/x/term"
)

const framesEvery = 250 * time.Millisecond

// terminal is the live view: a picture that is drawn over itself at the bottom of the terminal. It only
// writes. A terminal in raw mode, as full-screen libraries want it, would take Ctrl-C away from the signal
// that everything else ends by, and stay raw where the process is killed; and asking it for its colours, as
// they do at the start of every command, waits five seconds for one that does not answer.
type terminal struct {
	logger *slog.Logger
	look   func() picture
	size   func() (width, height int)
	quit   chan struct{}
	done   sync.WaitGroup

	mu     sync.Mutex
	out    io.Writer
	height int // lines of the picture that is there
}

// newTerminal starts the view; close ends it.
func newTerminal(out io.Writer, level slog.Level, look func() picture, size func() (width, height int)) *terminal {
	s := &terminal{look: look, size: size, out: out, quit: make(chan struct{})}
	s.logger = slog.New(slog.NewTextHandler(above{s}, &slog.HandlerOptions{Level: level}))
	s.done.Go(func() {
		tick := time.NewTicker(framesEvery)
		defer tick.Stop()
		for {
			s.show(s.look(), "")
			select {
			case <-tick.C:
			case <-s.quit:
				return
			}
		}
	})
	return s
}

func (s *terminal) log() *slog.Logger { return s.logger }

// close removes the picture: the summary takes its place.
func (s *terminal) close() {
	close(s.quit)
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.out, s.toTop()+clearBelow)
}

const (
	clearBelow = "\x1b[J"   // from the cursor on
	lineEnd    = "\x1b[K\n" // clears what an earlier, longer line left
)

// show writes text where the picture is, and the picture below it, in one piece and over what was there, so
// that nothing flickers.
func (s *terminal) show(p picture, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	width, height := s.size()
	lines := strings.Split(draw(p, width), "\n")
	lines = lines[:min(len(lines), max(1, height-1))] // what has scrolled away could not be drawn over
	var b bytes.Buffer
	b.WriteString(s.toTop())
	b.WriteString(strings.ReplaceAll(text, "\n", lineEnd))
	for _, line := range lines {
		// A line that wraps would be two lines high.
		b.WriteString(lipgloss.NewStyle().MaxWidth(width).Render(line) + lineEnd)
	}
	b.WriteString(clearBelow)
	s.height = len(lines)
	s.out.Write(b.Bytes()) // a terminal that is gone ends the process by its signal
}

// toTop goes to the picture's first line.
func (s *terminal) toTop() string {
	if s.height == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", s.height)
}

// above prints log lines over the live view.
type above struct{ s *terminal }

// Write implements io.Writer.
func (a above) Write(b []byte) (int, error) {
	a.s.show(a.s.look(), string(b))
	return len(b), nil
}

// sizeOf asks for a terminal's size, again for each frame: it may have changed.
func sizeOf(f *os.File) func() (width, height int) {
	return func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 {
			return 80, 24
		}
		return width, height
	}
}
