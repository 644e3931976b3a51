package demo

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// A screen shows how the run goes on. look gives the picture of the moment.
type screen interface {
	log() *slog.Logger
	close() // takes the live view away and waits until it is gone
}

// lines writes one line a second.
type lines struct {
	logger *slog.Logger
	quit   chan struct{}
	done   sync.WaitGroup
}

// newLines starts the writing; close ends it.
func newLines(w io.Writer, logger *slog.Logger, look func() picture) *lines {
	s := &lines{logger: logger, quit: make(chan struct{})}
	s.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintln(w, oneLine(look()))
			case <-s.quit:
				return
			}
		}
	})
	return s
}

func (s *lines) log() *slog.Logger { return s.logger }

func (s *lines) close() {
	close(s.quit)
	s.done.Wait()
}

// oneLine is the picture without a terminal.
func oneLine(p picture) string {
	l := p.Live
	if l.Published == 0 {
		return p.Phase
	}
	parts := []string{
		clock(l.Elapsed),
		fmt.Sprintf("in %.0f/s", l.In), fmt.Sprintf("out %.0f/s", l.Out),
		"p50 " + latency(l.P50), "p99 " + latency(l.P99),
	}
	if len(l.ByStatus) > 0 {
		parts = append(parts, brief(l.ByStatus))
	}
	if len(l.ByModel) > 0 {
		parts = append(parts, brief(l.ByModel))
	}
	if l.Accuracy != nil {
		parts = append(parts, fmt.Sprintf("accuracy %.1f %%", 100**l.Accuracy))
	}
	parts = append(parts, fmt.Sprintf("batch %.1f", l.MeanBatch), fmt.Sprintf("in flight %d", l.InFlight))
	if p.Restarts > 0 {
		parts = append(parts, fmt.Sprintf("restarts %d", p.Restarts))
	}
	return strings.Join(parts, "  ")
}

func brief(counts map[string]int) string {
	var parts []string
	for _, s := range sorted(counts) {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", s.name, 100*s.share))
	}
	return strings.Join(parts, ", ")
}

// terminal is the live view.
type terminal struct {
	program *tea.Program
	logger  *slog.Logger
	done    sync.WaitGroup
}

// newTerminal starts the view; close ends it. interrupt is called for each Ctrl-C: the terminal is in raw
// mode, where it is a key and no signal.
func newTerminal(out io.Writer, level slog.Level, look func() picture, interrupt func()) *terminal {
	s := &terminal{}
	s.program = tea.NewProgram(&model{look: look, interrupt: interrupt, picture: look()},
		tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFPS(10))
	s.logger = slog.New(slog.NewTextHandler(above{s.program}, &slog.HandlerOptions{Level: level}))
	s.done.Go(func() {
		// A view that fails takes nothing with it: the run goes on and ends with its summary.
		if _, err := s.program.Run(); err != nil {
			fmt.Fprintln(out, "weir: the live view ended:", err)
		}
	})
	return s
}

func (s *terminal) log() *slog.Logger { return s.logger }

func (s *terminal) close() {
	s.program.Send(gone{})
	s.done.Wait()
}

// above prints log lines over the live view.
type above struct{ program *tea.Program }

// Write implements io.Writer.
func (a above) Write(b []byte) (int, error) {
	a.program.Println(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

type (
	frame time.Time
	gone  struct{}
)

// model is the bubbletea side of the view: it only looks and draws.
type model struct {
	look      func() picture
	interrupt func()
	picture   picture
	width     int
	gone      bool
}

func nextFrame() tea.Cmd {
	return tea.Tick(250*time.Millisecond, func(t time.Time) tea.Msg { return frame(t) })
}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return nextFrame() }

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case frame:
		m.picture = m.look()
		return m, nextFrame()
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case tea.KeyMsg:
		if msg.Type == tea.KeyCtrlC || msg.String() == "q" {
			m.interrupt()
		}
	case gone:
		m.gone = true
		return m, tea.Quit
	}
	return m, nil
}

// View implements tea.Model. The last frame is empty: the summary takes its place.
func (m *model) View() string {
	if m.gone || m.width == 0 {
		return ""
	}
	return draw(m.picture, m.width)
}
