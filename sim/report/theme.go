package report

import (
	"fmt"
	"image/color"
	"strings"
)

// ink is a colour that knows what it is on a dark page. Charts are drawn in the light colours; in the page's SVG
// each becomes a CSS variable, so that one drawing serves both. So no two inks may share a light colour.
type ink struct {
	name        string
	light, dark color.NRGBA
}

func rgb(hex uint32) color.NRGBA {
	return color.NRGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 255}
}

var (
	inkText  = ink{"ink", rgb(0x1c1c1e), rgb(0xe8e8ea)}
	inkFaint = ink{"faint", rgb(0x5f6368), rgb(0xa0a4aa)}
	inkGrid  = ink{"grid", rgb(0xdfe1e5), rgb(0x36383d)}
	inkPaper = ink{"paper", rgb(0xfffffe), rgb(0x1a1b1e)}
)

// inkLines are for lines: the colours of Okabe and Ito but yellow, which people with any sort of colour vision can
// tell apart; on dark paper the same, lighter.
var inkLines = []ink{
	{"l0", rgb(0x0072b2), rgb(0x4aa8e8)},
	{"l1", rgb(0xd55e00), rgb(0xff8f4a)},
	{"l2", rgb(0x009e73), rgb(0x2fcf9f)},
	{"l3", rgb(0xcc79a7), rgb(0xeba6cc)},
	{"l4", rgb(0xe69f00), rgb(0xffc24a)},
	{"l5", rgb(0x56b4e9), rgb(0xa5dbf8)},
	{"l6", rgb(0x7a5195), rgb(0xb99ad6)},
	{"l7", rgb(0x6e6e6e), rgb(0xbdbdbd)},
}

// inkMarks are for faults, which also differ by the height of their bars.
var inkMarks = []ink{
	{"m0", rgb(0x8a8d93), rgb(0x9599a1)},
	{"m1", rgb(0xb3261e), rgb(0xf2867f)},
	{"m2", rgb(0xb58900), rgb(0xd9b13b)},
	{"m3", rgb(0x3d5a98), rgb(0x8fa8e0)},
	{"m4", rgb(0x2f7d5b), rgb(0x79c7a4)},
	{"m5", rgb(0x8f4a8b), rgb(0xd08fcc)},
}

func inks() []ink {
	all := []ink{inkText, inkFaint, inkGrid, inkPaper}
	return append(append(all, inkLines...), inkMarks...)
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// cssVariables declares the inks of one theme.
func cssVariables(dark bool) string {
	var b strings.Builder
	for _, i := range inks() {
		c := i.light
		if dark {
			c = i.dark
		}
		fmt.Fprintf(&b, "--%s:%s;", i.name, hex(c))
	}
	return b.String()
}

// cssInks turns colours of a drawing into CSS variables.
var cssInks = func() *strings.Replacer {
	var pairs []string
	for _, i := range inks() {
		pairs = append(pairs, hex(i.light), "var(--"+i.name+")")
	}
	return strings.NewReplacer(pairs...)
}()

// alpha makes a colour let through what is below it.
func alpha(c color.NRGBA, a float64) color.NRGBA {
	c.A = uint8(255 * a)
	return c
}
