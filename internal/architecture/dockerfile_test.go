package architecture

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The Dockerfile can be built as far as its text tells.
func TestDockerfile(t *testing.T) {
	for _, f := range dockerfile(read(t, "Dockerfile"), read(t, "go.mod"), exists) {
		t.Error(f)
	}
}

func TestDockerfileFind(t *testing.T) {
	bad := `FROM golang:1.25 AS build
COPY go.mod missing.sum ./
FROM debian AS other
COPYALL . .
RUN scripts/gone --print
FROM debian:bookworm-slim
COPY --from=biuld /a /a
COPY --from=build /out/weir /usr/local/bin/weir
USER root
ENTRYPOINT weir
`
	want := []string{
		"Dockerfile:1: golang:1.25", "Dockerfile:2: COPY missing.sum", "Dockerfile:3: debian has no tag", "Dockerfile:4: no instruction COPYALL",
		"Dockerfile:5: scripts/gone", "Dockerfile:7: COPY --from=biuld", "Dockerfile:10: ENTRYPOINT", "Dockerfile: runs as root", "Dockerfile: no HEALTHCHECK",
	}
	got := dockerfile(bad, "go 1.26.0\n", exists)
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(string(got[i]), want[i]) {
			t.Errorf("got %q, want %q…", got[i], want[i])
		}
	}
}

// The image's health check, run as it stands there, tells a ready process from all others.
func TestHealthcheck(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("skipped: the health check needs bash")
	}
	var code atomic.Int64
	code.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(int(code.Load()))
	}))
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	check := func() error {
		for _, in := range instructions(read(t, "Dockerfile")) {
			if _, command, ok := strings.Cut(in.text, "CMD "); ok && in.name == "HEALTHCHECK" {
				var args []string
				if err := json.Unmarshal([]byte(command), &args); err != nil {
					t.Fatal(err)
				}
				last := len(args) - 1
				args[last] = strings.ReplaceAll(args[last], "/9090", "/"+address.Port())
				return exec.Command(args[0], args[1:]...).Run()
			}
		}
		t.Fatal("no HEALTHCHECK … CMD")
		return nil
	}
	if err := check(); err != nil {
		t.Errorf("ready, but the check says %v", err)
	}
	code.Store(http.StatusServiceUnavailable)
	if err := check(); err == nil {
		t.Error("not ready, but the check passes")
	}
	server.Close()
	if err := check(); err == nil {
		t.Error("nobody listens, but the check passes")
	}
}

// An instruction of a Dockerfile, its continued lines joined.
type instruction struct {
	line       int
	name, text string
}

func instructions(text string) (all []instruction) {
	open := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		body, more := strings.CutSuffix(line, "\\")
		if open {
			all[len(all)-1].text += " " + strings.TrimSpace(body)
		} else {
			name, rest, _ := strings.Cut(body, " ")
			all = append(all, instruction{i + 1, name, strings.TrimSpace(rest)})
		}
		open = more
	}
	return all
}

func dockerfile(text, gomod string, exists func(string) bool) (found []finding) {
	known := strings.Fields("FROM RUN CMD LABEL EXPOSE ENV COPY ENTRYPOINT USER WORKDIR ARG STOPSIGNAL HEALTHCHECK SHELL")
	_, language, _ := strings.Cut("\n"+gomod, "\ngo ")
	stages, user, healthy := map[string]bool{}, "root", false
	for _, in := range instructions(text) {
		report := func(format string, args ...any) {
			found = append(found, finding(fmt.Sprintf("Dockerfile:%d: %s", in.line, fmt.Sprintf(format, args...))))
		}
		words := strings.Fields(in.text)
		switch in.name {
		case "FROM":
			user, healthy = "root", false
			image := words[0]
			if _, tag, ok := strings.Cut(image, ":"); !ok || tag == "latest" {
				report("%s has no tag that stays", image)
			}
			if version, ok := strings.CutPrefix(image, "golang:"); ok && !strings.HasPrefix(language, strings.SplitN(version, "-", 2)[0]) {
				report("%s, but go.mod asks for another Go", image)
			}
			if len(words) == 3 && words[1] == "AS" {
				stages[words[2]] = true
			}
		case "COPY":
			if stage, ok := strings.CutPrefix(words[0], "--from="); ok {
				if !stages[stage] {
					report("COPY --from=%s: no such stage above", stage)
				}
				continue
			}
			for _, name := range words[:len(words)-1] {
				if !exists(name) {
					report("COPY %s: no such file in the repository", name)
				}
			}
		case "RUN":
			for _, word := range words {
				word = strings.TrimLeft(word, `"$(`)
				if strings.HasPrefix(word, "scripts/") && !exists(word) {
					report("%s: no such file in the repository", word)
				}
			}
		case "USER":
			user = in.text
		case "HEALTHCHECK":
			healthy = true
		case "ENTRYPOINT", "CMD":
			if !json.Valid([]byte(in.text)) {
				report("%s is no JSON array, so a shell would stand between Weir and its signals", in.name)
			}
		default:
			if !slices.Contains(known, in.name) {
				report("no instruction %s", in.name)
			}
		}
	}
	if user == "root" {
		found = append(found, "Dockerfile: runs as root")
	}
	if !healthy {
		found = append(found, "Dockerfile: no HEALTHCHECK")
	}
	return found
}

// exists says whether a path from the root is there.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}
