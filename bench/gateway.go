package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// wrkLasts is one turn of one contender.
const wrkLasts = 2 * time.Second

// A scene is a kind of load that the contenders take in turns.
type scene struct {
	name        string
	connections int
	body        string // for a POST, "" for a GET
	turns       int    // of each contender
}

var (
	many   = scene{name: "32 connections", connections: 32, turns: 9}
	one    = scene{name: "1 connection", connections: 1, turns: 3}
	crowd  = scene{name: "256 connections", connections: 256, turns: 3}
	posts  = scene{name: "32 connections, POST", connections: 32, turns: 3, body: jsonBody}
	scenes = []scene{many, one, crowd, posts}
)

// A contender is a server under load.
type contender struct {
	name, url string
	getOnly   bool
	figures   map[string]*figures // by scene
}

// figures are those of one contender in one scene: requests a second, and
// times in ms.
type figures struct{ perSecond, p50, p99 Series }

// in returns the figures of a scene, empty ones where there are none.
func (c *contender) in(s scene) *figures {
	if c.figures == nil {
		c.figures = map[string]*figures{}
	}
	if c.figures[s.name] == nil {
		c.figures[s.name] = &figures{}
	}
	return c.figures[s.name]
}

// contenders are those that can run here; the others are nil, and absent says
// why.
type contenders struct {
	ours, nginxOne, nginxAuto, reverseProxy, pooled, workerd, deno *contender
	absent                                                         map[string]error
	token                                                          string
	processes                                                      []interface{ stop() error }
}

func (c *contenders) all() []*contender {
	var here []*contender
	for _, one := range []*contender{c.ours, c.nginxOne, c.nginxAuto, c.reverseProxy, c.pooled, c.workerd, c.deno} {
		if one != nil {
			here = append(here, one)
		}
	}
	return here
}

func (c *contenders) stop() error {
	var errs []error
	for i := len(c.processes) - 1; i >= 0; i-- {
		errs = append(errs, c.processes[i].stop())
	}
	return errors.Join(errs...)
}

// add keeps a peer that runs.
func (c *contenders) add(name string, p *process, err error) (*contender, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.processes = append(c.processes, p)
	return &contender{name: name, url: "http://" + p.addr + "/"}, nil
}

// newContenders starts everything. What is not installed is left out.
func (l *lab) newContenders(ctx context.Context) (c *contenders, err error) {
	c = &contenders{absent: map[string]error{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	ours, err := l.guardedHello(ctx, "gateway")
	if err != nil {
		return c, err
	}
	c.processes = append(c.processes, ours)
	c.token = ours.token
	c.ours = &contender{name: "Selvedge", url: "http://" + ours.addr + "/functions/v1/" + slug("gateway", 0)}

	behind, alone, err := l.denoPeers(ctx)
	if err != nil {
		return c, err
	}
	c.processes = append(c.processes, behind, alone)
	c.deno = &contender{name: "Deno alone", url: "http://" + alone.addr + "/"}

	if _, err := exec.LookPath("nginx"); err != nil {
		c.absent["nginx"] = errNoNginx
	} else {
		p, err := l.nginx(ctx, "1", behind.addr, "/", jsonAnswer)
		if c.nginxOne, err = c.add("nginx, 1 worker", p, err); err != nil {
			return c, err
		}
		p, err = l.nginx(ctx, "auto", behind.addr, "/", jsonAnswer)
		if c.nginxAuto, err = c.add("nginx, a worker for each CPU", p, err); err != nil {
			return c, err
		}
	}
	p, err := l.reverseProxy(ctx, behind.addr, "/", jsonAnswer)
	if c.reverseProxy, err = c.add("ReverseProxy", p, err); err != nil {
		return c, err
	}
	p, err = l.reverseProxy(ctx, behind.addr, "/", jsonAnswer, "-pool")
	if c.pooled, err = c.add("ReverseProxy with a buffer pool", p, err); err != nil {
		return c, err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		c.absent["workerd"] = errNoWorkerd
	} else {
		p, err := l.workerd(ctx, "/", jsonAnswer)
		if c.workerd, err = c.add("workerd", p, err); err != nil {
			return c, err
		}
		c.workerd.getOnly = true
	}
	return c, nil
}

// Why a peer is not there.
var (
	errNoNginx   = errors.New("install nginx (apt install nginx, brew install nginx)")
	errNoWorkerd = errors.New("install Node.js with npm, which fetches workerd")
)

// run has the contenders take their turns.
func (c *contenders) run(ctx context.Context, l *lab) error {
	lasts, played := wrkLasts, scenes
	if l.quick {
		lasts, played = time.Second, []scene{many}
	}
	for i, s := range played {
		turns, warm := l.samples(s.turns), 0
		if i == 0 && !l.quick {
			warm = 1
		}
		for turn := range warm + turns {
			for _, one := range c.all() {
				if s.body != "" && one.getOnly {
					continue
				}
				got, err := l.wrk(ctx, one.url, load{connections: s.connections, lasts: lasts, headers: []string{c.token}, body: s.body})
				if err != nil {
					return fmt.Errorf("%s, %s: %w", one.name, s.name, err)
				}
				if turn < warm {
					continue
				}
				f := one.in(s)
				f.perSecond = append(f.perSecond, got.perSecond)
				f.p50.add(got.p50)
				f.p99.add(got.p99)
			}
		}
	}
	return nil
}

// nginx is the better of the two in a scene.
func (c *contenders) nginx(s scene) *contender {
	if c.nginxOne == nil || c.nginxOne.in(s).perSecond.median() >= c.nginxAuto.in(s).perSecond.median() {
		return c.nginxOne
	}
	return c.nginxAuto
}

// gateway compares what the gateway carries with other gateways, and with a
// platform that needs none.
func gateway(ctx context.Context, l *lab) ([]Row, error) {
	rows := []Row{
		{Name: "gateway-nginx", Unit: "ratio", Of: "req/s", More: true, Floor: 0.6, Aim: 0.9,
			What: "requests a second with 32 connections, tokens checked, against nginx in front of the same function in plain Deno, at a unix socket"},
		{Name: "gateway-nginx-p99", Unit: "ratio", Floor: 2.5, Aim: 1.2,
			What: "the 99th percentile of the times to answer in the same runs, against nginx's"},
		{Name: "gateway-reverseproxy", Unit: "ratio", Of: "req/s", More: true, Floor: 2.5, Aim: 4,
			What: "the same requests a second against Go's net/http and httputil.ReverseProxy in front of that Deno"},
		{Name: "gateway-reverseproxy-pool", Unit: "ratio", Of: "req/s", More: true,
			What: "the same with a buffer pool, which one has to write for it"},
		{Name: "gateway-workerd", Unit: "ratio", Of: "req/s", More: true, Floor: 2, Aim: 3,
			What: "the same against workerd, which answers by itself with nothing in front"},
		{Name: "gateway-nginx-1", Unit: "ratio", Of: "req/s", More: true, What: "as gateway-nginx with 1 connection"},
		{Name: "gateway-nginx-256", Unit: "ratio", Of: "req/s", More: true, What: "as gateway-nginx with 256 connections"},
		{Name: "gateway-nginx-post", Unit: "ratio", Of: "req/s", More: true, What: "as gateway-nginx with a JSON body that the function reads"},
	}
	if missing("wrk") != "" {
		for i := range rows {
			rows[i].Skipped = errNoWrk.Error()
		}
		return rows, nil
	}
	c, err := l.newContenders(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.run(ctx, l), c.stop()); err != nil {
		return nil, err
	}
	for i := range rows {
		c.fill(&rows[i])
	}
	played := scenes
	if l.quick {
		rows, played = rows[:5], played[:1]
	}
	rows[0].Notes = append(rows[0].Notes, "Selvedge as it is by default, its access log going to /dev/null; every side has one worker")
	for _, s := range played {
		rows[0].Notes = append(rows[0].Notes, c.describe(s))
	}
	return rows, nil
}

// fill puts the ratio that its name promises into a row.
func (c *contenders) fill(row *Row) {
	s := many
	var peer *contender
	switch row.Name {
	case "gateway-reverseproxy":
		peer = c.reverseProxy
	case "gateway-reverseproxy-pool":
		peer = c.pooled
	case "gateway-workerd":
		peer = c.workerd
	case "gateway-nginx-1":
		s, peer = one, c.nginx(one)
	case "gateway-nginx-256":
		s, peer = crowd, c.nginx(crowd)
	case "gateway-nginx-post":
		s, peer = posts, c.nginx(posts)
	default:
		peer = c.nginx(many)
	}
	switch {
	case peer == nil && row.Name == "gateway-workerd":
		row.Skipped = c.absent["workerd"].Error()
	case peer == nil:
		row.Skipped = c.absent["nginx"].Error()
	case row.Name == "gateway-nginx-p99":
		row.compare(c.ours.in(s).p99, peer.in(s).p99)
	default:
		row.compare(c.ours.in(s).perSecond, peer.in(s).perSecond)
	}
}

// describe says what each contender did in a scene.
func (c *contenders) describe(s scene) string {
	var each []string
	for _, one := range c.all() {
		if f := one.in(s); len(f.perSecond) > 0 {
			each = append(each, fmt.Sprintf("%s %.0f req/s, p50 %s, p99 %s ms", one.name, f.perSecond.median(), number(f.p50.median()), number(f.p99.median())))
		}
	}
	return s.name + ": " + strings.Join(each, "; ")
}
