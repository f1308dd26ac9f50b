package cache

// A list holds the objects of one tier or group, the newest at its head.
type list struct {
	head, tail *kept
	n, bytes   int64
}

func (l *list) push(k *kept) {
	k.newer, k.older = nil, l.head
	if l.head != nil {
		l.head.newer = k
	} else {
		l.tail = k
	}
	l.head = k
	l.n++
	l.bytes += k.cost
}

func (l *list) unlink(k *kept) {
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		l.head = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		l.tail = k.newer
	}
	k.newer, k.older = nil, nil
	l.n--
	l.bytes -= k.cost
}

// searchDepth bounds how far behind the oldest object a victim is looked for.
const searchDepth = 256

// oldest returns the oldest object that may go, or nil if none of the oldest may.
func (l *list) oldest(may func(*kept) bool) *kept {
	k := l.tail
	for range searchDepth {
		if k == nil || may(k) {
			return k
		}
		k = k.newer
	}
	return nil
}
