// Package confine starts processes that can do less than the one that starts
// them. It is the second wall around a worker, behind Deno's permissions: what
// still holds when a function has taken over its process.
//
// Nothing is run between fork and exec. A thread takes the restrictions upon
// itself, starts the process, which inherits them, and ends with it; the other
// threads of the server are not touched.
package confine

import (
	"fmt"
	"os/exec"
)

// A Policy says what a process may do. The zero value of a list allows nothing.
// What a layer cannot enforce on this system is not enforced.
type Policy struct {
	// Run are files that may be executed and read.
	Run []string
	// Read are files, and folders with all that is in them, that may be read
	// and listed.
	Read []string
	// Write are files, and folders with all that is in them, that may be read,
	// changed, made and removed.
	Write []string
	// Listen are the TCP ports that may be listened on.
	Listen []uint16
	// Files bounds the open files; 0 leaves the server's bound.
	Files uint64
	// Tasks bounds the threads and processes of a user of its own; 0 leaves the
	// server's bound.
	Tasks uint64
	// User is the user, and the group, that the process runs as; 0 for the
	// server's. Groups are those that it is in besides.
	User   uint32
	Groups []uint32
}

// The layers, in the order in which they are reported.
const (
	NoNewPrivileges = "no-new-privileges"
	Capabilities    = "capabilities"
	OwnUser         = "own user"
	Landlock        = "landlock"
	Seccomp         = "seccomp"
	Rlimits         = "rlimits"
	ParentDeath     = "parent-death signal"
)

// A Layer is one of the system's means, and whether it is used.
type Layer struct {
	Name string
	On   bool
	// Detail says what the layer does where it is on, and why it is off where
	// it is not.
	Detail string
}

// A Confiner starts processes with the layers that this system has.
type Confiner struct {
	layers []Layer
	on     map[string]bool
	sys    system
}

// New tries which layers there are. That takes less than a millisecond.
func New() *Confiner { return newConfiner(probe()) }

// Off returns a Confiner that uses no layers but those that cannot do harm: the
// parent-death signal and the limits.
func Off(why string) *Confiner {
	layers, sys := probe()
	for i, l := range layers {
		if l.On && l.Name != ParentDeath && l.Name != Rlimits {
			layers[i] = Layer{Name: l.Name, Detail: why}
		}
	}
	return newConfiner(layers, sys)
}

func newConfiner(layers []Layer, sys system) *Confiner {
	c := &Confiner{layers: layers, on: map[string]bool{}, sys: sys}
	for _, l := range layers {
		c.on[l.Name] = l.On
	}
	return c
}

// Layers returns what there is, in a fixed order.
func (c *Confiner) Layers() []Layer { return append([]Layer(nil), c.layers...) }

// Without returns a Confiner that leaves a layer out, for the reason why.
func (c *Confiner) Without(layer, why string) *Confiner {
	return c.changed(layer, func(l *Layer) { l.On, l.Detail = false, why })
}

// Noting returns a Confiner that says more of a layer.
func (c *Confiner) Noting(layer, note string) *Confiner {
	return c.changed(layer, func(l *Layer) { l.Detail += "; " + note })
}

func (c *Confiner) changed(layer string, change func(*Layer)) *Confiner {
	layers := c.Layers()
	for i := range layers {
		if layers[i].Name == layer {
			change(&layers[i])
		}
	}
	return newConfiner(layers, c.sys)
}

// On reports whether a layer is used.
func (c *Confiner) On(name string) bool { return c != nil && c.on[name] }

// A Process is one that was started. Ended is closed when it has ended, and
// before it is reaped if cmd.Wait is called only then: its id is nobody else's
// yet.
type Process struct {
	Ended <-chan struct{}
}

// Start starts cmd under the policy. Whoever calls it must call cmd.Wait, or the
// process stays a zombie. A nil Confiner starts cmd without any
// restriction.
func (c *Confiner) Start(cmd *exec.Cmd, p Policy) (*Process, error) {
	ended := make(chan struct{})
	started := make(chan error, 1)
	go c.run(cmd, p, started, ended)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &Process{Ended: ended}, nil
}
