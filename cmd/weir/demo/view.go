package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
)

// A picture is everything that the live view draws. Drawing it is a pure function of it and the width.
type picture struct {
	Title    string // of the pipeline
	Place    string // broker and workers
	Phase    string // what the demo does now
	Restarts int64
	Live     Live
	P99s     []time.Duration // one a second, the newest last
}

const (
	minWidth, maxWidth = 40, 100
	minName            = 10 // the column of names in front of bars
	bar                = "█"
	eighths            = " ▏▎▍▌▋▊▉"
	sparks             = "▁▂▃▄▅▆▇█"
)

type theme struct{ title, faint, value, good, bad, model, frame lipgloss.Style }

// newTheme has colours that can be read on light and on dark ground: asking a terminal for its own may take
// seconds.
func newTheme() theme {
	color := func(c string) lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)) }
	return theme{
		title: color("39").Bold(true),
		faint: color("244"),
		value: lipgloss.NewStyle().Bold(true),
		good:  color("35"),
		bad:   color("203"),
		model: color("99"),
		frame: color("245"),
	}
}

// draw renders the picture in at most width columns.
func draw(p picture, width int) string {
	w := min(max(width, minWidth), maxWidth)
	t := newTheme()
	var b strings.Builder
	line := func(s string) { b.WriteString(s + "\n") }
	rule := t.frame.Render(strings.Repeat("─", w))

	line(spread(t.title.Render("weir demo")+"  "+p.Title, t.faint.Render(clock(p.Live.Elapsed)), w))
	line(t.faint.Render(clip(p.Place, w)))
	line(rule)
	for _, row := range tiles(t, p, w) {
		line(row)
	}
	if len(p.P99s) > 1 {
		line(spread(t.faint.Render("p99 by second"), spark(t, p.P99s, w-16), w))
	}
	line("")
	bars(t, line, "status", p.Live.ByStatus, w, func(name string) lipgloss.Style {
		if name == "answered" {
			return t.good
		}
		return t.bad
	})
	bars(t, line, "model", p.Live.ByModel, w, func(string) lipgloss.Style { return t.model })
	if a := p.Live.Accuracy; a != nil {
		line(t.faint.Render("accuracy so far"))
		line(barLine("  "+fmt.Sprintf("%-*s ", minName, "right"), *a, "", t.good, w))
	}
	line(rule)
	b.WriteString(t.faint.Render(clip(p.Phase, w)))
	return b.String()
}

// tiles lays out the figures, as many side by side as fit.
func tiles(t theme, p picture, w int) []string {
	l := p.Live
	figures := [][2]string{
		{"in", fmt.Sprintf("%.0f/s", l.In)}, {"out", fmt.Sprintf("%.0f/s", l.Out)},
		{"p50", latency(l.P50)}, {"p99", latency(l.P99)},
		{"in flight", grouped(l.InFlight)}, {"mean batch", fmt.Sprintf("%.1f", l.MeanBatch)},
		{"published", grouped(l.Published)}, {"final", grouped(l.Final)},
		{"late", grouped(l.Late)}, {"duplicates", grouped(l.Duplicates)},
	}
	if p.Restarts > 0 {
		figures = append(figures, [2]string{"restarts", grouped(int(p.Restarts))})
	}
	const tile = 20
	var rows []string
	for per := w / tile; len(figures) > 0; {
		n := min(per, len(figures))
		row := ""
		for _, f := range figures[:n] {
			row += t.faint.Render(fmt.Sprintf("%-11s", f[0])) + t.value.Render(fmt.Sprintf("%-*s", tile-11, f[1]))
		}
		rows = append(rows, strings.TrimRight(row, " "))
		figures = figures[n:]
	}
	return rows
}

func bars(t theme, line func(string), title string, counts map[string]int, w int, style func(string) lipgloss.Style) {
	if len(counts) == 0 {
		return
	}
	name := minName
	for n := range counts {
		name = min(max(name, lipgloss.Width(n)), w/3)
	}
	line(t.faint.Render(title))
	for _, s := range sorted(counts) {
		line(barLine("  "+fmt.Sprintf("%-*s ", name, clip(s.name, name)), s.share, grouped(s.count), style(s.name), w))
	}
}

// barLine is head, a bar of the share, its per cent, and a figure. The smallest share has a bar that can be
// seen: one failed query in a million is what people look for.
func barLine(head string, share float64, figure string, style lipgloss.Style, w int) string {
	const figureWidth = 9
	room := w - lipgloss.Width(head) - len(" 100.0 % ") - figureWidth
	steps := int(max(0, min(share, 1)) * float64(8*room))
	if steps == 0 && share > 0 {
		steps = 1
	}
	drawn := strings.Repeat(bar, steps/8)
	if part := steps % 8; part > 0 {
		drawn += string([]rune(eighths)[part])
	}
	gap := strings.Repeat(" ", room-lipgloss.Width(drawn))
	return strings.TrimRight(head+style.Render(drawn)+gap+fmt.Sprintf(" %5.1f %% %*s", 100*share, figureWidth, figure), " ")
}

// spark draws the last values, as high as the largest of them.
func spark(t theme, values []time.Duration, cells int) string {
	values = values[max(0, len(values)-cells):]
	var top time.Duration = 1
	for _, v := range values {
		top = max(top, v)
	}
	levels := []rune(sparks)
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(levels[int(v*time.Duration(len(levels)-1)/top)])
	}
	return t.model.Render(b.String())
}

// spread puts left and right at the ends of a line.
func spread(left, right string, w int) string {
	return left + strings.Repeat(" ", max(1, w-lipgloss.Width(left)-lipgloss.Width(right))) + right
}

func clip(s string, w int) string {
	if r := []rune(s); len(r) > w {
		return string(r[:w-1]) + "…"
	}
	return s
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func latency(d time.Duration) string {
	switch ms := d.Seconds() * 1e3; {
	case d == 0:
		return "–"
	case ms < 100:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// grouped writes 1234567 as 1 234 567.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
