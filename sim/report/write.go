package report

import (
	"bytes"
	"os"
	"path/filepath"
)

// PageName is the file in a report's directory that people open.
const PageName = "report.html"

// Write puts the page into a directory, which it makes if need be: report.html, which needs no other file,
// result.json, CSV files and each chart as PNG. Files of the same names are replaced.
func (p *Page) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	put := func(name string, content []byte) error {
		return os.WriteFile(filepath.Join(dir, name), content, 0o666)
	}
	var page bytes.Buffer
	if err := p.HTML(&page); err != nil {
		return err
	}
	if err := put(PageName, page.Bytes()); err != nil {
		return err
	}
	data, err := p.JSON()
	if err != nil {
		return err
	}
	if err := put("result.json", data); err != nil {
		return err
	}
	for _, s := range p.sheets {
		if err := put(s.name+".csv", s.bytes()); err != nil {
			return err
		}
	}
	for i := range p.Charts {
		png, err := p.Charts[i].PNG()
		if err != nil {
			return err
		}
		if err := put(p.Charts[i].ID+".png", png); err != nil {
			return err
		}
	}
	return nil
}
