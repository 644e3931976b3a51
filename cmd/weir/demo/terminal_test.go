package demo

import (
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// paper is a terminal as far as the live view needs one: a sheet that never scrolls.
type paper struct {
	mu       sync.Mutex
	lines    []string
	row, col int
}

var escape = regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)

// Write implements io.Writer.
func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := string(b); s != ""; {
		if m := escape.FindStringSubmatch(s); m != nil {
			p.control(m[1], m[2])
			s = s[len(m[0]):]
			continue
		}
		r := []rune(s)[0]
		s = s[len(string(r)):]
		switch r {
		case '\r':
			p.col = 0
		case '\n':
			p.row, p.col = p.row+1, 0
		default:
			p.put(r)
		}
	}
	return len(b), nil
}

func (p *paper) control(arg, command string) {
	switch command {
	case "A":
		n, _ := strconv.Atoi(arg)
		p.row = max(0, p.row-n)
	case "K":
		p.cut()
	case "J":
		p.cut()
		p.lines = p.lines[:min(len(p.lines), p.row+1)]
	}
}

func (p *paper) cut() {
	if p.row < len(p.lines) {
		p.lines[p.row] = string([]rune(p.lines[p.row])[:min(p.col, len([]rune(p.lines[p.row])))])
	}
}

func (p *paper) put(r rune) {
	for len(p.lines) <= p.row {
		p.lines = append(p.lines, "")
	}
	line := []rune(p.lines[p.row])
	for len(line) <= p.col {
		line = append(line, ' ')
	}
	line[p.col] = r
	p.lines[p.row] = string(line)
	p.col++
}

func (p *paper) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimRight(strings.Join(p.lines, "\n"), "\n")
}

// Frames are drawn over each other, log lines stay above them, and nothing of the view is left at the end.
func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sheet paper
		var width, frames atomic.Int64
		width.Store(80)
		look := func() picture {
			p := scene()
			if frames.Add(1) > 3 { // the picture gets shorter
				p.Live.ByStatus, p.Live.ByModel = map[string]int{"answered": 7}, nil
			}
			return p
		}
		s := newTerminal(&sheet, slog.LevelInfo, look, func() (int, int) { return int(width.Load()), 40 })
		if _, err := fmt.Fprint(above{s}, "the first line\nits second line\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.log().Info("later")
		s.log().Debug("not asked for")
		synctest.Wait()
		got := sheet.text()
		want := draw(look(), 80)
		if !strings.HasPrefix(got, "the first line\nits second line\ntime=") || !strings.HasSuffix(got, "level=INFO msg=later\n"+want) {
			t.Errorf("got\n%s\nwant the log lines, then\n%s", got, want)
		}
		width.Store(30) // narrower than the picture can be
		time.Sleep(time.Second)
		synctest.Wait()
		for _, line := range strings.Split(sheet.text(), "\n")[3:] {
			if n := len([]rune(line)); n > 30 {
				t.Errorf("a line of %d in a terminal of 30: %s", n, line)
			}
		}
		s.close()
		if got := strings.Count(sheet.text(), "\n"); got != 2 || !strings.HasSuffix(sheet.text(), "msg=later") {
			t.Errorf("after the end:\n%s", sheet.text())
		}
	})
}

// A picture that is higher than the terminal is cut, since its top could not be drawn over.
func TestTerminalTooLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sheet paper
		s := newTerminal(&sheet, slog.LevelInfo, scene, func() (int, int) { return 80, 6 })
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := strings.Join(strings.Split(draw(scene(), 80), "\n")[:5], "\n")
		if got := sheet.text(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		s.close()
		if got := sheet.text(); got != "" {
			t.Errorf("after the end:\n%s", got)
		}
	})
}

func TestLinesOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		s := newLines(&b, slog.New(slog.DiscardHandler), scene)
		time.Sleep(3500 * time.Millisecond)
		s.close()
		if got := strings.Count(b.String(), oneLine(scene())+"\n"); got != 3 {
			t.Errorf("got %d lines in 3.5 s, want 3:\n%s", got, b.String())
		}
	})
}
