package cli

import (
	"fmt"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/gateway"
	"github.com/selvedge-dev/selvedge/internal/vitals"
)

// watchVitals looks after what the server needs of the machine.
func (s *server) watchVitals() {
	checks := []vitals.Check{
		vitals.OpenFiles,
		vitals.Folder("tmp", s.engine.runDir.Path, "the folder of the workers", "make room there, or restart with TMPDIR set to another place", true),
		vitals.Binary("deno", s.engine.binary.Path, "the Deno binary", "put it back, or restart the server", func() {
			s.log.Warn("the Deno binary was replaced while the server runs; what is there now has not been checked: restart when there is time",
				"path", s.engine.binary.Path)
		}),
	}
	if vitals.Writable(s.cfg.DataDir) {
		checks = append(checks, vitals.Folder("data", s.cfg.DataDir, "the data folder",
			"functions that were built go on, but none can be built; make room there, or restart with another --data-dir", false))
	} else {
		s.log.Info("the data folder cannot be written to: functions that were not built before cannot be served", "path", s.cfg.DataDir)
	}
	s.vitals = vitals.Start(vitals.Options{
		Checks:  checks,
		Symptom: s.spawnTrouble,
		Found: func(p vitals.Problem) {
			s.log.Error(p.Message, "problem", p.Code)
		},
		Over: func(p vitals.Problem) {
			s.log.Info("a problem is over", "problem", p.Code, "lasted", time.Since(p.Since).Round(time.Second))
			s.pool.Retry()
		},
	})
}

// spawnTrouble is what starts themselves tell, where no other check has found
// why.
func (s *server) spawnTrouble() *vitals.Fault {
	err := s.pool.Trouble()
	if err == nil {
		return nil
	}
	return &vitals.Fault{Code: "starts_fail", Message: fmt.Sprintf("no worker can be started: %v; `selvedge doctor` looks for the cause", err), StopsStarts: true}
}

// health is what load balancers are told. Where no worker can be started, the
// server is good for something as long as it has some.
func (s *server) health() gateway.Health {
	var h gateway.Health
	stops := false
	for _, p := range s.vitals.Problems() {
		h.Problems = append(h.Problems, p.Code)
		stops = stops || p.StopsStarts
	}
	h.Unable = stops && !s.pool.Able()
	return h
}

// adminHealth says the same and what is behind it.
func (s *server) adminHealth() (status int, body any) {
	type problem struct {
		Code    string    `json:"code"`
		Message string    `json:"message"`
		Since   time.Time `json:"since"`
	}
	b := struct {
		Message  string    `json:"message"`
		Problems []problem `json:"problems,omitempty"`
	}{}
	status, b.Message = s.gateway.Health().Status()
	for _, p := range s.vitals.Problems() {
		b.Problems = append(b.Problems, problem{p.Code, p.Message, p.Since.UTC()})
	}
	return status, b
}

// spareDescriptors is how many are kept from connections that do nothing: for
// workers, files, and whoever asks how the server is.
const spareDescriptors = 128

// descriptors is how many the server should have open, 0 for any number.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return 0
	}
	n := int(limit.Cur)
	return n - min(spareDescriptors, n/2)
}
