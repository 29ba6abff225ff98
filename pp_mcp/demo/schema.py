"""The tables of the tenant.

Every resource table has an internal rowid that never leaves the tenant (documented: numeric ids are not exposed).
AUTOINCREMENT keeps rowids from being reused, so that "newest first" can be read off them.
"""

from __future__ import annotations

VERSION = "1"

OUTSTANDING = "('not_started', 'in_progress')"

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    expires_at TEXT,
    created TEXT NOT NULL
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    role TEXT NOT NULL,
    employee_id TEXT,
    is_active INTEGER NOT NULL DEFAULT 1,
    manager_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    date_joined TEXT NOT NULL
);

-- Here, not with the other indexes: each new row is checked against the rows that name it as their manager already.
CREATE INDEX users_by_manager ON users (manager_id);

CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    source TEXT NOT NULL,
    source_key TEXT NOT NULL,
    created TEXT NOT NULL,
    modified TEXT NOT NULL
);

CREATE TABLE group_members (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;

CREATE TABLE channels (id INTEGER PRIMARY KEY, public_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL);

CREATE TABLE content_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    content_type TEXT NOT NULL,
    description TEXT,
    is_archived INTEGER NOT NULL DEFAULT 0,
    is_hidden INTEGER NOT NULL DEFAULT 0,
    is_completable INTEGER NOT NULL DEFAULT 1,
    is_self_assignable INTEGER NOT NULL DEFAULT 1,
    duration_minutes INTEGER,
    channel_id INTEGER REFERENCES channels (id),
    event_starts_at TEXT,
    checkin_closes_at TEXT,
    is_cancelled INTEGER NOT NULL DEFAULT 0,
    total_assignments INTEGER NOT NULL DEFAULT 0,
    completed_assignments_count INTEGER NOT NULL DEFAULT 0,
    rating_sum INTEGER NOT NULL DEFAULT 0,
    rating_count INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    modified TEXT NOT NULL
);

CREATE TABLE item_groups (
    content_item_id INTEGER NOT NULL REFERENCES content_items (id) ON DELETE CASCADE,
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (content_item_id, group_id)
) WITHOUT ROWID;

CREATE TABLE assignments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    content_item_id INTEGER NOT NULL REFERENCES content_items (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    progress REAL,
    prior_progress REAL,
    score REAL,
    is_success INTEGER,
    due_date TEXT,
    started_at TEXT,
    completed_datetime TEXT,
    dropped_at TEXT,
    drop_reason TEXT,
    exempted_at TEXT,
    expires_at TEXT,
    feedback_rating INTEGER,
    attempt INTEGER NOT NULL DEFAULT 1,
    created TEXT NOT NULL
);

CREATE TABLE enrollments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_id INTEGER NOT NULL REFERENCES content_items (id) ON DELETE CASCADE,
    assignment_id INTEGER REFERENCES assignments (id) ON DELETE SET NULL,
    recorded TEXT NOT NULL,
    attendance_method TEXT,
    checkin_datetime TEXT,
    created TEXT NOT NULL
);
"""

# After the seed: rows go in faster without them, and the counters are set once instead of row by row.
INDEXES = f"""
CREATE INDEX users_by_name ON users (name_key, id);
CREATE INDEX groups_by_name ON groups (name_key, id);
CREATE INDEX group_members_by_user ON group_members (user_id);
CREATE INDEX item_groups_by_group ON item_groups (group_id);
CREATE UNIQUE INDEX assignments_by_public_id ON assignments (public_id);
CREATE INDEX assignments_by_user ON assignments (user_id, content_item_id);
CREATE INDEX assignments_by_item ON assignments (content_item_id, state);
CREATE UNIQUE INDEX one_outstanding ON assignments (user_id, content_item_id) WHERE state IN {OUTSTANDING};
CREATE INDEX assignments_due ON assignments (due_date) WHERE state IN {OUTSTANDING};
CREATE INDEX enrollments_by_user ON enrollments (user_id);
CREATE INDEX enrollments_by_event ON enrollments (event_id);
CREATE INDEX enrollments_by_assignment ON enrollments (assignment_id);

UPDATE content_items SET
    total_assignments = (SELECT count(*) FROM assignments a WHERE a.content_item_id = content_items.id),
    completed_assignments_count =
        (SELECT count(*) FROM assignments a WHERE a.content_item_id = content_items.id AND a.state = 'completed'),
    rating_sum =
        (SELECT coalesce(sum(a.feedback_rating), 0) FROM assignments a WHERE a.content_item_id = content_items.id),
    rating_count = (SELECT count(a.feedback_rating) FROM assignments a WHERE a.content_item_id = content_items.id);

CREATE TRIGGER assignment_added AFTER INSERT ON assignments BEGIN
    UPDATE content_items SET
        total_assignments = total_assignments + 1,
        completed_assignments_count = completed_assignments_count + (NEW.state = 'completed'),
        rating_sum = rating_sum + coalesce(NEW.feedback_rating, 0),
        rating_count = rating_count + (NEW.feedback_rating IS NOT NULL)
    WHERE id = NEW.content_item_id;
END;

CREATE TRIGGER assignment_removed AFTER DELETE ON assignments BEGIN
    UPDATE content_items SET
        total_assignments = total_assignments - 1,
        completed_assignments_count = completed_assignments_count - (OLD.state = 'completed'),
        rating_sum = rating_sum - coalesce(OLD.feedback_rating, 0),
        rating_count = rating_count - (OLD.feedback_rating IS NOT NULL)
    WHERE id = OLD.content_item_id;
END;

CREATE TRIGGER assignment_changed AFTER UPDATE OF state, feedback_rating ON assignments BEGIN
    UPDATE content_items SET
        completed_assignments_count =
            completed_assignments_count + (NEW.state = 'completed') - (OLD.state = 'completed'),
        rating_sum = rating_sum + coalesce(NEW.feedback_rating, 0) - coalesce(OLD.feedback_rating, 0),
        rating_count = rating_count + (NEW.feedback_rating IS NOT NULL) - (OLD.feedback_rating IS NOT NULL)
    WHERE id = NEW.content_item_id;
END;
"""
