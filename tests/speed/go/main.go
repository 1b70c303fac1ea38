// The classic pool of Go's tutorials: workers that take from a channel of jobs and send to a channel of results.
//
// It reads lines "contender jobs microseconds" and answers each with the nanoseconds that so many jobs took, from the
// first submission to the last result.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// What the pool of weirpool has room for, too.
const room = 1024

func main() {
	workers := runtime.GOMAXPROCS(0)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var contender string
		var jobs, micros uint64
		if _, err := fmt.Sscan(lines.Text(), &contender, &jobs, &micros); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		work := time.Duration(micros) * time.Microsecond
		var elapsed time.Duration
		switch contender {
		case "plain":
			elapsed = plain(workers, 2*workers, jobs, work)
		case "roomy":
			elapsed = plain(workers, room, jobs, work)
		case "advanced":
			elapsed = advanced(workers, room, jobs, work)
		default:
			fmt.Fprintln(os.Stderr, "no such contender:", contender)
			os.Exit(1)
		}
		fmt.Println(elapsed.Nanoseconds())
	}
}

type job struct {
	id   uint64
	work time.Duration
}

type result struct {
	id      uint64
	success bool
	elapsed time.Duration
}

func (j job) run() result {
	start := time.Now()
	// Busy, as a job for a worker pool is.
	for j.work > 0 && time.Since(start) < j.work {
	}
	return result{j.id, true, time.Since(start)}
}

// A pool is started workers and the channels to and from them.
type pool struct {
	jobs    chan job
	results chan result
	quit    chan struct{}
	workers sync.WaitGroup
}

func start(workers, buffer int) *pool {
	p := &pool{
		jobs:    make(chan job, buffer),
		results: make(chan result, buffer),
		quit:    make(chan struct{}),
	}
	p.workers.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			defer p.workers.Done()
			for {
				select {
				case j := <-p.jobs:
					p.results <- j.run()
				case <-p.quit:
					return
				}
			}
		}()
	}
	return p
}

func (p *pool) stop() {
	close(p.quit)
	p.workers.Wait()
}

// collect hands so many results to handle, and closes the channel that it returns.
func (p *pool) collect(jobs uint64, handle func(result)) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(0); i < jobs; i++ {
			handle(<-p.results)
		}
	}()
	return done
}

// plain is the pool without gates.
func plain(workers, buffer int, jobs uint64, work time.Duration) time.Duration {
	p := start(workers, buffer)
	defer p.stop()
	begun := time.Now()
	done := p.collect(jobs, func(result) {})
	for id := uint64(0); id < jobs; id++ {
		p.jobs <- job{id, work}
	}
	<-done
	return time.Since(begun)
}

// advanced adds the gates: breaker, limiter, time-out of the submission, metrics.
func advanced(workers, buffer int, jobs uint64, work time.Duration) time.Duration {
	p := start(workers, buffer)
	defer p.stop()
	var guard breaker
	var seen metrics
	limiter := make(chan struct{}, buffer)
	begun := time.Now()
	done := p.collect(jobs, func(r result) {
		guard.record(r.success)
		seen.completed(r.elapsed)
	})
	for id := uint64(0); id < jobs; id++ {
		if !guard.allow() {
			panic("nothing fails here")
		}
		limiter <- struct{}{}
		timeout := time.NewTimer(30 * time.Second)
		select {
		case p.jobs <- job{id, work}:
			timeout.Stop()
			seen.submitted()
		case <-timeout.C:
			panic("the pool hangs")
		}
		<-limiter
	}
	<-done
	return time.Since(begun)
}

type breaker struct {
	lock     sync.Mutex
	failures int
	opened   time.Time
}

const (
	threshold = 5
	pause     = 5 * time.Minute
)

func (b *breaker) allow() bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.failures < threshold || time.Since(b.opened) >= pause
}

func (b *breaker) record(success bool) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if success {
		b.failures = 0
		return
	}
	b.failures++
	if b.failures >= threshold {
		b.opened = time.Now()
	}
}

type metrics struct {
	lock    sync.Mutex
	in, out uint64
	total   time.Duration
}

func (m *metrics) submitted() {
	m.lock.Lock()
	m.in++
	m.lock.Unlock()
}

func (m *metrics) completed(elapsed time.Duration) {
	m.lock.Lock()
	m.out++
	m.total += elapsed
	m.lock.Unlock()
}
