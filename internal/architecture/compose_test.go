package architecture

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A deployment is what docker-compose.yml says, as far as it can be wrong about us.
type deployment struct {
	Services map[string]service
}

type service struct {
	Image, Build, Restart string
	Command               []string
	Environment           map[string]string
	DependsOn             map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck           struct {
		Test    []string
		Disable bool
	}
}

// A surroundings is what docker-compose.yml may name outside itself.
type surroundings struct {
	exists   func(path string) bool
	flags    func(command []string) (map[string]bool, error) // of a subcommand of weir
	segments []string                                        // of the example
}

// docker-compose.yml can be brought up as far as its text and our own commands tell.
func TestCompose(t *testing.T) {
	weir := filepath.Join(t.TempDir(), "weir")
	build := exec.Command("go", "build", "-o", weir, "./cmd/weir")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	flag := regexp.MustCompile(`--([a-z][a-z-]*)`)
	flags := func(command []string) (map[string]bool, error) {
		out, err := exec.Command(weir, append(command, "--help")...).CombinedOutput()
		if err == nil && !strings.Contains(string(out), "weir "+strings.Join(command, " ")) {
			err = fmt.Errorf("its help speaks of something else")
		}
		return firsts(flag, string(out)), err
	}
	var spec struct {
		Stages []struct{ Segment string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "examples/fashion/fashion.yaml")), &spec); err != nil {
		t.Fatal(err)
	}
	var segments []string
	for _, s := range spec.Stages {
		if s.Segment != "" {
			segments = append(segments, s.Segment)
		}
	}
	found, err := compose(read(t, "docker-compose.yml"), surroundings{exists, flags, segments})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

func TestComposeFinds(t *testing.T) {
	around := surroundings{exists: exists, segments: []string{"light", "heavy"}, flags: func(command []string) (map[string]bool, error) {
		if command[0] != "run" {
			return nil, fmt.Errorf("unknown command")
		}
		return map[string]bool{"broker": true, "segments": true, "admin": true}, nil
	}}
	text := `
services:
  kafka:
    image: apache/kafka:latest
    environment: {KAFKA_LISTENERS: "IN://:9092,CONTROLLER://:9093,OUT://:19092", KAFKA_ADVERTISED_LISTENERS: "IN://kafka:9092"}
  light:
    build: elsewhere
    command: [run, examples/fashion/fashion.yaml, --segments, light, --broker, "kafka:9093", --speed, "9", --admin, "0.0.0.0:9090"]
    depends_on: {kafka: {condition: service_healthy}, ghost: {condition: service_started}}
  heavy:
    build: .
    command: [run, examples/fashion/gone.yaml, --segments, heavi, --broker, "kafka:9092"]
  demo:
    build: .
    command: [demo]
    depends_on: {heavy: {condition: service_healthy}, light: {condition: service_completed_successfully}}
`
	want := []string{
		"demo: depends on heavy being healthy", "demo: depends on light's end", "demo: weir demo: unknown command",
		"heavy: --segments heavi", "heavy: examples/fashion/gone.yaml", "kafka: apache/kafka:latest has no tag", "kafka: listener OUT is not advertised",
		"light: --broker kafka:9093", "light: depends on ghost", "light: depends on kafka being healthy", "light: is built from elsewhere", "light: weir run has no --speed",
		"no service runs segment heavy",
	}
	found, err := compose(text, around)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, strings.TrimPrefix(string(f), "docker-compose.yml: "))
	}
	slices.Sort(got)
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q…", got[i], want[i])
		}
	}
	if _, err := compose("services: [\n", around); err == nil {
		t.Error("broken YAML passes")
	}
}

func compose(text string, around surroundings) (found []finding, err error) {
	var d deployment
	if err := yaml.Unmarshal([]byte(text), &d); err != nil {
		return nil, err
	}
	report := func(format string, args ...any) {
		found = append(found, finding("docker-compose.yml: "+fmt.Sprintf(format, args...)))
	}
	running := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		s := d.Services[name]
		if s.Build == "" {
			if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
				report("%s: %s has no tag that stays", name, s.Image)
			}
			d.listeners(name, report)
		} else {
			if s.Build != "." {
				report("%s: is built from %s, the Dockerfile lies in .", name, s.Build)
			}
			d.command(name, around, running, report)
		}
		d.dependencies(name, report)
	}
	for _, segment := range around.segments {
		if !running[segment] {
			report("no service runs segment %s", segment)
		}
	}
	return found, nil
}

// listeners checks that each listener but the controller's is advertised by its own name and port.
func (d deployment) listeners(name string, report func(string, ...any)) {
	env := d.Services[name].Environment
	advertised := strings.Split(env["KAFKA_ADVERTISED_LISTENERS"], ",")
	for _, l := range strings.Split(env["KAFKA_LISTENERS"], ",") {
		listener, address, _ := strings.Cut(l, "://")
		port := address[strings.LastIndex(address, ":")+1:]
		if listener != "CONTROLLER" && !slices.ContainsFunc(advertised, func(a string) bool {
			return strings.HasPrefix(a, listener+"://") && strings.HasSuffix(a, ":"+port)
		}) {
			report("%s: listener %s is not advertised", name, listener)
		}
	}
}

// command checks a command of weir: that it exists, has these flags, and that what they name exists.
func (d deployment) command(name string, around surroundings, running map[string]bool, report func(string, ...any)) {
	command := d.Services[name].Command
	words := slices.IndexFunc(command, func(w string) bool { return strings.HasPrefix(w, "-") || strings.Contains(w, "/") })
	if words < 0 {
		words = len(command)
	}
	sub := strings.Join(command[:words], " ")
	flags, err := around.flags(command[:words])
	if err != nil {
		report("%s: weir %s: %v", name, sub, err)
		return
	}
	for i, word := range command {
		value := ""
		if i+1 < len(command) {
			value = command[i+1]
		}
		flag, isFlag := strings.CutPrefix(word, "--")
		switch {
		case isFlag && !flags[flag]:
			report("%s: weir %s has no --%s", name, sub, flag)
		case flag == "segments" && sub == "run":
			for _, segment := range strings.Split(value, ",") {
				if !slices.Contains(around.segments, segment) {
					report("%s: --segments %s: the example has no such segment", name, segment)
				}
				running[segment] = true
			}
		case flag == "broker" && !d.advertises(value):
			report("%s: --broker %s: no service advertises that", name, value)
		case strings.HasPrefix(word, "examples/") && !around.exists(word):
			report("%s: %s is missing", name, word)
		}
	}
}

func (d deployment) advertises(address string) bool {
	for _, s := range d.Services {
		for _, a := range strings.Split(s.Environment["KAFKA_ADVERTISED_LISTENERS"], ",") {
			if _, at, ok := strings.Cut(a, "://"); ok && at == address {
				return true
			}
		}
	}
	return false
}

// dependencies checks that each condition can come true: ours are healthy where they serve the port that
// the image's health check asks.
func (d deployment) dependencies(name string, report func(string, ...any)) {
	for other, on := range d.Services[name].DependsOn {
		s, ok := d.Services[other]
		if !ok {
			report("%s: depends on %s, which is no service", name, other)
			continue
		}
		admin := slices.Index(s.Command, "--admin")
		asked := s.Build != "" && !s.Healthcheck.Disable && admin >= 0 && strings.HasSuffix(s.Command[min(admin+1, len(s.Command)-1)], ":9090")
		if on.Condition == "service_healthy" && len(s.Healthcheck.Test) == 0 && !asked {
			report("%s: depends on %s being healthy, which nothing asks", name, other)
		}
		if on.Condition == "service_completed_successfully" && s.Restart != "no" {
			report("%s: depends on %s's end, but it restarts", name, other)
		}
	}
}
