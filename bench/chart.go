package main

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
)

// A panel is one diagram of a chart. Its vertical axis begins at 0.
type panel struct {
	name, unit string
	lines      []line
}

type line struct {
	name   string
	values []float64
}

const (
	chartWidth, panelHeight    = 900, 170
	marginLeft, marginRight    = 70, 20
	marginTop, marginBottom    = 34, 24
	plotWidth, plotHeight      = chartWidth - marginLeft - marginRight, panelHeight - marginTop - marginBottom
	lineColours, chartTextSize = "#1f5fa8 #c4602d", 12
)

// chart draws panels below each other, over the minutes x that all of them share, as SVG.
func chart(w io.Writer, title string, x []float64, panels []panel) error {
	var b strings.Builder
	height := 30 + panelHeight*len(panels)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="%d">`+"\n", chartWidth, height, chartTextSize)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="20" font-weight="bold">%s</text>`+"\n", marginLeft, html.EscapeString(title))
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", 30+panelHeight*i)
		p.draw(&b, x)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p panel) draw(b *strings.Builder, x []float64) {
	top := 0.0
	for _, l := range p.lines {
		if len(l.values) > 0 {
			top = max(top, 1.1*slices.Max(l.values))
		}
	}
	if top == 0 {
		top = 1
	}
	last := 1.0
	if len(x) > 0 {
		last = max(x[len(x)-1], 1e-9)
	}
	at := func(x, y float64) (float64, float64) {
		return marginLeft + x/last*plotWidth, marginTop + (1-y/top)*plotHeight
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s, %s</text>`+"\n", marginLeft, marginTop-10, html.EscapeString(p.name), html.EscapeString(p.unit))
	for _, share := range []float64{0, 0.5, 1} {
		_, y := at(0, share*top)
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`, marginLeft, marginLeft+plotWidth, y, y)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", marginLeft-6, y+4, number(share*top))
		tx, _ := at(share*last, 0)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s min</text>`+"\n", tx, panelHeight-8, number(share*last))
	}
	colours := strings.Fields(lineColours)
	for i, l := range p.lines {
		colour := colours[i%len(colours)]
		var points []string
		for k, v := range l.values {
			px, py := at(x[k], v)
			points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`, colour, strings.Join(points, " "))
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", marginLeft+240+120*i, marginTop-10, colour, html.EscapeString(l.name))
	}
}
