package lint

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// lines calls f for each line of a text file, from 1.
func (t *tree) lines(name string, f func(n int, line string)) {
	for i, l := range strings.Split(t.text(name), "\n") {
		f(i+1, l)
	}
}

var (
	mdLink  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdTitle = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	mdCode  = regexp.MustCompile("`[^`]*`")
	mdFence = regexp.MustCompile("^\\s*```")
)

// docLinks follows every relative link of every page, to the heading.
func docLinks(t *tree) (out []string) {
	for _, page := range t.with(".md") {
		t.lines(page, func(n int, line string) {
			for _, m := range mdLink.FindAllStringSubmatch(mdCode.ReplaceAllString(line, ""), -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				file := page
				if target != "" {
					file = path.Join(path.Dir(page), target)
				}
				if _, err := fs.Stat(t.fsys, file); err != nil {
					out = append(out, fmt.Sprintf("%s:%d: the link leads nowhere: %s", page, n, m[1]))
				} else if anchor != "" && !slices.Contains(anchors(t.text(file)), anchor) {
					out = append(out, fmt.Sprintf("%s:%d: no such heading: %s", page, n, m[1]))
				}
			}
		})
	}
	return out
}

// anchors returns the headings of a page as links name them.
func anchors(text string) (out []string) {
	for _, m := range mdTitle.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return out
}

var (
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	makeCall   = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
)

// makeTargets looks up each "make x" that a page or script tells people to type.
func makeTargets(t *tree) (out []string) {
	var known []string
	for _, m := range makeTarget.FindAllStringSubmatch(t.text("Makefile"), -1) {
		known = append(known, m[1])
	}
	for _, name := range append(t.with(".md", ".yml", ".yaml", "Dockerfile", "Makefile"), ".ci/run") {
		code := !strings.HasSuffix(name, ".md")
		t.lines(name, func(n int, line string) {
			if mdFence.MatchString(line) {
				code = !code
				return
			}
			if !code {
				line = strings.Join(mdCode.FindAllString(line, -1), " ")
			}
			for _, m := range makeCall.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(known, m[1]) {
					out = append(out, fmt.Sprintf("%s:%d: the Makefile has no target %s", name, n, m[1]))
				}
			}
		})
	}
	return out
}

var release = regexp.MustCompile(`(?m)^## \[(.+?)\]( - \d{4}-\d{2}-\d{2})?$`)

func changelog(t *tree) (out []string) {
	text := t.text("CHANGELOG.md")
	heads := release.FindAllStringSubmatch(text, -1)
	if len(heads) == 0 || heads[0][1] != "Unreleased" {
		out = append(out, "CHANGELOG.md: the first section is ## [Unreleased]")
	}
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "## ") && !release.MatchString(l) {
			out = append(out, "CHANGELOG.md: a section is ## [Unreleased] or ## [1.2.3] - 2026-01-31, not "+l)
		}
	}
	return out
}

// strangers are words that mean something on one machine only. They are put
// together here so that this file does not find itself.
var strangers = regexp.MustCompile(strings.Join([]string{
	"/wo" + "rk/", "/ho" + "me/", `\bsha` + "red/(DESIGN|STYLE|facts)", `\bfac` + "ts/",
	"CONTR" + "ACT.md", "registry\\.np" + "mjs", "proxy\\.gol" + "ang", "\"reso" + "lved\":",
}, "|"))

// texts are the files in which a stray path or host may hide.
var texts = []string{
	".go", ".md", ".yml", ".yaml", ".json", ".txt", ".sh", ".js", ".mjs", ".html", ".css", ".svg", ".mod", ".npmrc",
	"Makefile", "Dockerfile", ".ci/run", ".ci/deps", ".gitignore", ".dockerignore",
}

func portable(t *tree) (out []string) {
	for _, name := range t.with(texts...) {
		t.lines(name, func(n int, line string) {
			if s := strangers.FindString(line); s != "" {
				out = append(out, fmt.Sprintf("%s:%d: %s means nothing on another machine", name, n, s))
			}
		})
	}
	return out
}

// A page that sends its reader nowhere is worse than no page.
func TestDocLinksResolve(t *testing.T) { holds(t, docLinks) }

// What a page tells people to type works.
func TestMakeTargetsInDocsExist(t *testing.T) { holds(t, makeTargets) }

// Every change says in one line what it means to the one who upgrades.
func TestTheChangelogHasUnreleased(t *testing.T) { holds(t, changelog) }

// The tree says the same on every machine.
func TestNothingNamesOneMachine(t *testing.T) { holds(t, portable) }

func TestTheDocRulesCanFail(t *testing.T) {
	complains(t, docLinks, "docs/x.md:1: the link leads nowhere: y.md", "docs/x.md", "see [y](y.md)")
	complains(t, docLinks, "no such heading: y.md#other", "docs/x.md", "[y](y.md#other)", "docs/y.md", "# One")
	content(t, docLinks, "docs/x.md", "[y](../y.md#1-one-two) and `[a](b)`", "y.md", "## 1. One `two`")

	complains(t, makeTargets, "README.md:1: the Makefile has no target rest", "README.md", "`make rest`", "Makefile", "test:\n")
	complains(t, makeTargets, "README.md:2: ", "README.md", "```\nmake rest\n```", "Makefile", "test:\n")
	content(t, makeTargets, "README.md", "make sure of `make test`", "Makefile", "test: build\n")

	complains(t, changelog, "first section", "CHANGELOG.md", "# Changelog\n## [1.0.0] - 2026-01-31\n")
	complains(t, changelog, "a section is", "CHANGELOG.md", "## [Unreleased]\n## v1\n")
	content(t, changelog, "CHANGELOG.md", "## [Unreleased]\n## [1.0.0] - 2026-01-31\n")

	complains(t, portable, "x.go:2: ", "x.go", "package x\n// see /ho"+"me/me/notes\n")
	complains(t, portable, "means nothing", "cmd/package-lock.json", "{\"reso"+"lved\": \"x\"}")
}
