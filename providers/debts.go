package providers

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const payWorkers = 4 // of one system

// debts is the queue of what is owed to the systems. A few workers come when
// there is work and go when there is none; each works for one system, so that one which
// hangs holds up no other. What could not be paid is tried again ever more rarely, for as
// long as it matters.
type debts struct {
	pay    func(context.Context, *debt) bool
	ctx    context.Context // of every attempt
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   map[*registration][]*debt
	ahead   map[*registration]int // adopted leases that had no round yet
	behind  []*debt               // logins that wait for these
	waiting map[*debt]*time.Timer // for their next round
	workers map[*registration]int
	inHand  map[*debt]struct{} // what each of them works on
	idle    chan struct{}      // closed when the last worker goes home; nil: nobody waits
	last    bool               // no round after this one
	closed  bool
	left    []*debt // that nobody tries again

	late atomic.Int64 // that came when it was closed, and are being paid all the same
}

func (q *debts) open(pay func(context.Context, *debt) bool) {
	q.pay = pay
	q.queue = make(map[*registration][]*debt)
	q.workers = make(map[*registration]int)
	q.inHand = make(map[*debt]struct{})
	q.ahead = make(map[*registration]int)
	q.waiting = make(map[*debt]*time.Timer)
	q.ctx, q.cancel = context.WithCancel(context.Background())
}

// add has d paid. Once the queue is closed it leaves d: the log may be closed too,
// and the next start finds d by its record.
func (q *debts) add(d *debt) {
	if !q.take(d) {
		q.giveUp(d)
	}
}

// take has d paid, unless the queue is closed.
func (q *debts) take(d *debt) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.enqueue(d)
	return true
}

// wake has d paid that waited for it, unless finish has done so meanwhile.
func (q *debts) wake(d *debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, waits := q.waiting[d]; waits {
		delete(q.waiting, d)
		q.enqueue(d)
	}
}

// adopt takes on what another process left: its leases, then its logins, each
// once every lease of its system had its first round. A system that drops a login, with
// what is left under it, while it is told to drop that too, may end up doing neither.
func (q *debts) adopt(leases, logins []*debt) {
	q.mu.Lock()
	if !q.closed {
		for _, d := range leases {
			q.ahead[d.reg]++
		}
		q.behind = append(q.behind, logins...)
		logins = nil
	}
	q.mu.Unlock()
	for _, d := range logins {
		q.add(d) // which leaves it
	}
	for _, d := range leases {
		d.first = true
		q.add(d)
	}
	q.follow(nil)
}

// follow notes that d had a round, and lets the logins go that wait for it.
func (q *debts) follow(d *debt) {
	q.mu.Lock()
	if d != nil && d.first {
		d.first = false
		q.ahead[d.reg]--
	}
	var logins []*debt
	q.behind = slices.DeleteFunc(q.behind, func(login *debt) bool {
		free := q.ahead[login.reg] == 0
		if free {
			logins = append(logins, login)
		}
		return free
	})
	q.mu.Unlock()
	for _, d := range logins {
		q.add(d)
	}
}

// enqueue sees to it that someone works on d. The caller holds mu.
func (q *debts) enqueue(d *debt) {
	q.queue[d.reg] = append(q.queue[d.reg], d)
	if q.workers[d.reg] < payWorkers {
		q.workers[d.reg]++
		go q.drain(d.reg)
	}
}

func (q *debts) drain(reg *registration) {
	for d := q.next(reg); d != nil; d = q.next(reg) {
		paid := q.pay(q.ctx, d)
		q.putDown(d)
		q.follow(d)
		if paid {
			d.settle()
			continue
		}
		q.postpone(d)
	}
}

// putDown notes that the worker which had d is through with it.
func (q *debts) putDown(d *debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.inHand, d)
}

// postpone has d tried again later, unless there is no later.
func (q *debts) postpone(d *debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last {
		q.leave(d)
		return
	}
	d.pause = min(max(firstRound, 2*d.pause), longRound)
	q.waiting[d] = time.AfterFunc(d.pause, func() { q.wake(d) })
}

// giveUp notes that nobody tries d.
func (q *debts) giveUp(d *debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leave(d)
}

// leave notes that nobody tries d again. The caller holds mu.
func (q *debts) leave(d *debt) {
	if !d.left {
		d.left = true
		q.left = append(q.left, d)
	}
	d.settle()
}

func (d *debt) settle() {
	if d.paid != nil {
		d.paid()
		d.paid = nil
	}
}

// next takes reg's oldest debt off the queue; nil sends the worker home.
func (q *debts) next(reg *registration) *debt {
	q.mu.Lock()
	defer q.mu.Unlock()
	if waiting := q.queue[reg]; len(waiting) > 0 {
		q.queue[reg] = waiting[1:]
		q.inHand[waiting[0]] = struct{}{}
		return waiting[0]
	}
	if q.workers[reg]--; q.workers[reg] == 0 {
		delete(q.workers, reg)
		delete(q.queue, reg)
	}
	if len(q.workers) == 0 && q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
	return nil
}

// owed returns how many debts are not paid at now, but for those that came too late for it.
func (q *debts) owed(now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.behind) + len(q.waiting)
	for _, d := range q.left { // nobody looks at their end
		if d.lives(now) {
			n++
		}
	}
	for reg, workers := range q.workers {
		n += len(q.queue[reg]) + workers
	}
	for d := range q.inHand {
		if d.left { // and counted, as its end is looked at
			n--
		}
	}
	return n
}

// untold returns what no round puts on record: what waits for its first one, or is in
// it, and what nobody tries again. With a system that hangs, what a crash left may wait for
// hours, and a provider that ends what is left may be registered again for a later start.
func (q *debts) untold() (all []*debt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all = slices.Collect(maps.Keys(q.inHand))
	for _, waiting := range q.queue {
		all = append(all, waiting...)
	}
	return append(append(all, q.behind...), q.left...)
}
