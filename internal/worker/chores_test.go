package worker

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fill makes n empty files in a folder.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What the worker has left is removed in turns, between which others come.
func TestRemovalTakesTurns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	fill(t, dir, 5000)
	var h Host
	done := make(chan error)
	go func() { done <- h.removeAll(dir) }()
	others := 0
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(dir); !os.IsNotExist(err) {
				t.Errorf("it is there: %v", err)
			}
			if others < 10 {
				t.Errorf("others had %d turns while 5000 files were removed", others)
			}
			return
		default:
		}
		h.beginChore().end()
		others++
		time.Sleep(2 * turnFor) // so that it is the removal's turn
	}
}

func TestARestFollowsATurn(t *testing.T) {
	var h Host
	began := time.Now()
	chore := h.beginChore()
	for time.Since(chore.began) < turnFor {
		chore.step() // too early: it goes on
	}
	chore.step()
	rested := time.Since(began)
	if busy := chore.end(); busy < turnFor || rested < 2*turnFor || busy >= rested {
		t.Errorf("busy for %s of %s", busy, rested)
	}
}

func TestRemovalOfAllThereCanBe(t *testing.T) {
	parent := t.TempDir()
	dir, outside := filepath.Join(parent, "w"), filepath.Join(parent, "outside")
	fill(t, outside, 3)
	fill(t, filepath.Join(dir, "tmp", "a", "b"), 600)
	fill(t, filepath.Join(dir, strings.Repeat("deep/", deepest+10)), 3)
	if err := os.Symlink(outside, filepath.Join(dir, "tmp", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp", "closed"), 0); err != nil {
		t.Fatal(err)
	}
	var h Host
	if err := h.removeAll(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
	if left, err := os.ReadDir(outside); len(left) != 3 || err != nil {
		t.Errorf("what a link names: %v %v", left, err)
	}
	if err := h.removeAll(filepath.Join(parent, "none")); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}
