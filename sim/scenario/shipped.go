package scenario

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed shipped/*.yaml
var shippedFiles embed.FS

// ShippedFile is a scenario that is part of the program.
type ShippedFile struct {
	Name   string // without .yaml
	Source []byte // the caller must not change it
}

// Parse reads it.
func (f ShippedFile) Parse() (*Scenario, error) { return Parse(f.File(), f.Source) }

// File is what positions call it.
func (f ShippedFile) File() string { return f.Name + ".yaml" }

// Shipped lists the scenarios that are part of the program, in order of name.
func Shipped() []ShippedFile {
	entries, err := shippedFiles.ReadDir("shipped")
	if err != nil {
		panic(fmt.Sprintf("BUG: the shipped scenarios: %v", err))
	}
	var list []ShippedFile
	for _, e := range entries {
		src, err := shippedFiles.ReadFile(path.Join("shipped", e.Name()))
		if err != nil {
			panic(fmt.Sprintf("BUG: the shipped scenarios: %v", err))
		}
		list = append(list, ShippedFile{strings.TrimSuffix(e.Name(), ".yaml"), src})
	}
	slices.SortFunc(list, func(a, b ShippedFile) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// ShippedNamed finds one of them.
func ShippedNamed(name string) (ShippedFile, bool) {
	list := Shipped()
	i := slices.IndexFunc(list, func(f ShippedFile) bool { return f.Name == name })
	if i < 0 {
		return ShippedFile{}, false
	}
	return list[i], true
}
