package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoProc is why memory is not measured.
var errNoProc = errors.New("this system has no /proc/PID/smaps_rollup, which says how much memory a process has to itself")

// canMeasureMemory returns nil where pss works.
func canMeasureMemory() error {
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		return errNoProc
	}
	return nil
}

// pss is the proportional set size of a process in MB (10⁶ bytes): its own
// pages, and its share of those it has in common with others.
func pss(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/smaps_rollup has no Pss", pid)
}

// children returns the processes that a process has started.
func children(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// After the name, which may hold anything and ends at the last
		// parenthesis: state, parent.
		fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		found = append(found, child)
	}
	return found, nil
}

// childrenPSS adds up the memory of a process's children.
func childrenPSS(pid int) (total float64, n int, err error) {
	all, err := children(pid)
	if err != nil {
		return 0, 0, err
	}
	for _, child := range all {
		one, err := pss(child)
		if err != nil {
			return 0, 0, err
		}
		total += one
	}
	return total, len(all), nil
}

// processesNaming returns the command lines that have part in them, none where
// there is no /proc.
func processesNaming(part string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, file := range files {
		if raw, err := os.ReadFile(file); err == nil && bytes.Contains(raw, []byte(part)) {
			found = append(found, strings.TrimSpace(string(bytes.ReplaceAll(raw, []byte{0}, []byte(" ")))))
		}
	}
	return found
}

// quiet is the share of the processors that other programs may use while
// something is measured without it being called noisy. What the kernel does for
// nobody in particular counts as theirs, but for interrupts: those are mostly
// the packets of the connections that are measured.
const quiet = 0.10

// waitForQuiet waits, while nothing of the lab runs, until other programs leave
// the processors alone or patience ends. It does not wait where that cannot be
// known.
func (l *lab) waitForQuiet(ctx context.Context, patience time.Duration) {
	for began := time.Now(); time.Since(began) < patience; {
		use := watchUse()
		if sleep(ctx, 2*time.Second) != nil || use.others() <= quiet {
			return
		}
	}
}

// A use is how much of the processors was used when it was made.
type use struct{ own, busy, total float64 }

func watchUse() use {
	busy, total := cpuTimes()
	return use{ownCPU(), busy, total}
}

// others is the share of all processors that other programs have used since,
// given that every process of the lab started since has ended: only then does
// the kernel tell what they used. It is 0 where it cannot be known.
func (u use) others() float64 {
	now := watchUse()
	if now.total <= u.total {
		return 0
	}
	return max(0, (now.busy-u.busy)-(now.own-u.own)) / (now.total - u.total)
}

// ownCPU is the processor time, in ticks, of this process and of all its
// descendants that have ended and were waited for.
func ownCPU() float64 {
	var ticks float64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			ticks += float64(r.Utime.Nano()+r.Stime.Nano()) / float64(tick)
		}
	}
	return ticks
}

// tick is the unit of /proc/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuTimes returns the time that all processors were busy, interrupts aside, and
// all time, since the system started, in ticks.
func cpuTimes() (busy, total float64) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseFloat(field, 64)
		if i == 0 || i > 8 || err != nil {
			continue // "cpu", or guests, which are part of user time
		}
		total += ticks
		switch i {
		case 4, 5, 6, 7: // idle, waiting for a disk, interrupts
		default:
			busy += ticks
		}
	}
	return busy, total
}
