package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Chart is a drawing of values over time or over a parameter.
type Chart struct {
	ID    string // a file name
	Title string

	from, to float64 // of the x axis
	xLabel   string
	xTicks   []plot.Tick
	xLog     bool
	unit     string
	series   []series
	marks    []lane
}

// lane is the faults of one kind.
type lane struct {
	kind  string
	ink   ink
	spans [][2]float64 // from, until, in seconds; the same for a moment
}

// Charts are drawn small, so that their letters can be read on a phone, and stretched on wider screens.
const (
	chartWidth  vg.Length = 460
	plotWidth   vg.Length = 410 // about: labels of the other axis take the rest
	plotHeight  vg.Length = 210
	letters     vg.Length = 9.5
	legendLine  vg.Length = 14
	sampleWidth vg.Length = 16
	laneHeight  vg.Length = 3
	pngDPI                = 192
)

// panelChart is the chart of a panel.
func panelChart(p *result.Panel, marks []result.Mark) Chart {
	c := Chart{ID: "panel-" + fileName(p.ID), Title: p.Title, unit: p.Unit, series: seriesOf(p)}
	c.overTime(marks)
	return c
}

func letter(size vg.Length, c color.Color) draw.TextStyle {
	return draw.TextStyle{
		Color:   c,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		XAlign:  draw.XLeft,
		YAlign:  draw.YBottom,
		Handler: plot.DefaultTextHandler,
	}
}

// plot makes the axes and what is in them.
func (c *Chart) plot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for _, line := range [][]float64{s.upper, s.lower} {
			for _, v := range line {
				if finite(v) {
					lo, hi = min(lo, v), max(hi, v)
				}
			}
		}
	}
	p.Y.Min, p.Y.Max = valueRange(lo, hi)
	p.X.Min, p.X.Max = c.from, c.to
	p.X.Tick.Marker = plot.ConstantTicks(c.xTicks)
	p.Y.Tick.Marker = plot.ConstantTicks(valueTicks(p.Y.Min, p.Y.Max, axisText(c.unit)))
	if c.xLog {
		p.X.Scale = plot.LogScale{}
	}
	p.X.Label.Text, p.Y.Label.Text = c.xLabel, c.unit
	if c.unit == string(result.Fraction) {
		p.Y.Label.Text = ""
	}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		for _, s := range []*draw.TextStyle{&a.Label.TextStyle, &a.Tick.Label} {
			s.Font = letter(letters, nil).Font
			s.Color = inkFaint.light
		}
		a.Padding = 0
		a.LineStyle.Color, a.Tick.LineStyle.Color = inkFaint.light, inkFaint.light
		a.Tick.Length = 3
	}
	p.X.Tick.Label.YAlign = draw.YTop

	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, inkGrid.light
	grid.Horizontal.Width = 0.5
	p.Add(grid, bands{c.marks})
	// Ranges lie below. What stands first in the legend lies above the rest: the swarm among systems, and the edge of
	// an area that others stand on, which one of nothing would hide.
	for i := range c.series {
		if c.series[i].isRange() {
			c.series[i].add(p)
		}
	}
	for i := len(c.series) - 1; i >= 0; i-- {
		if !c.series[i].isRange() {
			c.series[i].add(p)
		}
	}
	return p
}

// span sets the ends of the x axis to those of the series.
func (c *Chart) span() {
	c.from, c.to = math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		if len(s.x) > 0 {
			c.from, c.to = min(c.from, slices.Min(s.x)), max(c.to, slices.Max(s.x))
		}
	}
	if c.from > c.to {
		c.from, c.to = 0, 1
	}
	if c.from == c.to {
		c.to++
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (s *series) add(p *plot.Plot) {
	for _, piece := range s.pieces() {
		from, to := piece[0], piece[1]
		line := make(plotter.XYs, 0, to-from)
		for i := from; i < to; i++ {
			line = append(line, plotter.XY{X: s.x[i], Y: s.upper[i]})
		}
		if s.lower != nil {
			ring := slices.Clone(line)
			for i := to - 1; i >= from; i-- {
				ring = append(ring, plotter.XY{X: s.x[i], Y: s.lower[i]})
			}
			area := must(plotter.NewPolygon(ring))
			area.Color, area.LineStyle.Width = alpha(s.ink.light, s.fill), 0
			p.Add(area)
			if s.isRange() {
				continue
			}
		}
		if len(line) == 1 || s.points {
			dots := must(plotter.NewScatter(line))
			dots.GlyphStyle = draw.GlyphStyle{Color: s.ink.light, Radius: 2, Shape: draw.CircleGlyph{}}
			p.Add(dots)
		}
		l := must(plotter.NewLine(line))
		l.LineStyle = s.stroke()
		p.Add(l)
	}
}

// pieces are where a series has values, as half-open ranges of indices.
func (s *series) pieces() (all [][2]int) {
	from := -1
	for i := 0; i <= len(s.upper); i++ {
		has := i < len(s.upper) && finite(s.upper[i]) && (s.lower == nil || finite(s.lower[i]))
		switch {
		case has && from < 0:
			from = i
		case !has && from >= 0:
			all = append(all, [2]int{from, i})
			from = -1
		}
	}
	return all
}

// dashes tell runs apart, or systems, also where colours do not.
var dashes = [][]vg.Length{nil, {5, 2.5}, {1.5, 2}, {7, 2, 1.5, 2}}

func (s *series) stroke() draw.LineStyle {
	return draw.LineStyle{Color: s.ink.light, Width: 1.4, Dashes: dashes[s.dash%len(dashes)]}
}

// must is for gonum's constructors, which fail for values that are not finite or for none: pieces lets none through.
func must[T any](v T, err error) T {
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return v
}

// bands draws faults: a tint over the time that they last with a bar at the top, or a dashed line for a moment.
type bands struct{ lanes []lane }

func (b bands) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at := func(v float64) vg.Length { return x(min(max(v, p.X.Min), p.X.Max)) }
	for i, l := range b.lanes {
		top := c.Max.Y - vg.Length(i)*(laneHeight+1)
		for _, s := range l.spans {
			from, to := at(s[0]), at(s[1])
			if to-from < 1 {
				c.StrokeLine2(draw.LineStyle{Color: l.ink.light, Width: 1, Dashes: []vg.Length{2, 2}}, from, c.Min.Y, from, top)
				c.FillPolygon(l.ink.light, rectangle(from-1, top-laneHeight, from+1, top))
				continue
			}
			c.FillPolygon(alpha(l.ink.light, 0.16), rectangle(from, c.Min.Y, to, c.Max.Y))
			c.FillPolygon(l.ink.light, rectangle(from, top-laneHeight, to, top))
		}
	}
}

func rectangle(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

// entry is one of the legend's.
type entry struct {
	name   string
	sample func(c draw.Canvas, box vg.Rectangle)
}

func (c *Chart) legend() []entry {
	var all []entry
	for _, s := range c.series {
		all = append(all, entry{s.name, func(c draw.Canvas, box vg.Rectangle) {
			if s.lower != nil {
				c.FillPolygon(alpha(s.ink.light, s.fill), rectangle(box.Min.X, box.Min.Y, box.Max.X, box.Max.Y))
				if s.isRange() {
					return
				}
				box.Min.Y = box.Max.Y
			}
			y := (box.Min.Y + box.Max.Y) / 2
			c.StrokeLine2(s.stroke(), box.Min.X, y, box.Max.X, y)
		}})
	}
	for _, l := range c.marks {
		all = append(all, entry{l.kind, func(c draw.Canvas, box vg.Rectangle) {
			c.FillPolygon(alpha(l.ink.light, 0.16), rectangle(box.Min.X, box.Min.Y, box.Max.X, box.Max.Y))
			c.FillPolygon(l.ink.light, rectangle(box.Min.X, box.Max.Y-laneHeight, box.Max.X, box.Max.Y))
		}})
	}
	return all
}

// placed is a legend entry with its place, from the left and by line.
type placed struct {
	entry
	x    vg.Length
	line int
}

// layout breaks the legend into lines.
func layout(all []entry, style draw.TextStyle) (places []placed, lines int) {
	const left, gap vg.Length = 4, 14
	x := left
	for _, e := range all {
		w := sampleWidth + 4 + style.Width(e.name)
		if x > left && x+w > chartWidth {
			x = left
			lines++
		}
		places = append(places, placed{e, x, lines})
		x += w + gap
	}
	return places, lines + 1
}

// draw draws the chart on a canvas that fits; title 0 leaves the title out.
func (c *Chart) draw(dc draw.Canvas, title vg.Length) {
	top := dc.Max.Y
	if title > 0 {
		dc.FillText(letter(title, inkText.light), vg.Point{X: dc.Min.X + 4, Y: top - title - 4}, c.Title)
		top -= title + 10
	}
	style := letter(letters, inkText.light)
	places, lines := layout(c.legend(), style)
	for _, e := range places {
		y := top - vg.Length(e.line+1)*legendLine + 3
		x := dc.Min.X + e.x
		e.sample(dc, vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + sampleWidth, Y: y + 8}})
		dc.FillText(style, vg.Point{X: x + sampleWidth + 4, Y: y}, e.name)
	}
	top -= vg.Length(lines)*legendLine + 6
	c.plot().Draw(draw.Crop(dc, 2, -10, 2, top-dc.Max.Y))
}

func (c *Chart) height(title vg.Length) vg.Length {
	_, lines := layout(c.legend(), letter(letters, inkText.light))
	h := plotHeight + vg.Length(lines)*legendLine + 6
	if title > 0 {
		h += title + 10
	}
	return h
}

var (
	svgHead = regexp.MustCompile(`(?s)^.*?<svg [^>]*>`)
	svgFont = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)
)

// SVG is the chart as an element of an HTML page: its colours are CSS variables and its size is that of the page.
// The title stands in the page, and in the element for those who do not see it.
func (c *Chart) SVG() template.HTML {
	h := c.height(0)
	canvas := vgsvg.New(chartWidth, h)
	c.draw(draw.New(canvas), 0)
	var b bytes.Buffer
	_ = must(canvas.WriteTo(&b)) // a buffer takes everything
	s := svgHead.ReplaceAllString(b.String(), "")
	s = svgFont.ReplaceAllString(s, "")
	s = cssInks.Replace(s)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">%s`,
		chartWidth.Points(), h.Points(), template.HTMLEscapeString(c.Title), s))
}

// PNG is the chart as a picture of its own, on light paper.
func (c *Chart) PNG() ([]byte, error) {
	const title = 12
	canvas := vgimg.NewWith(vgimg.UseWH(chartWidth, c.height(title)), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(inkPaper.light))
	c.draw(draw.New(canvas), title)
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(&b)
	return b.Bytes(), err
}
