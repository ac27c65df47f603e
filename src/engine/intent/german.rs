//! Common German words and the English ones that they stand for.

/// German words that English does not have.
#[rustfmt::skip]
pub(super) const GERMAN: &[(&str, &str)] = &[
    ("zeig", "show"), ("zeige", "show"), ("zeigst", "show"), ("zeigen", "show"), ("gib", "give"),
    ("sag", "tell"), ("mir", "me"), ("mich", "me"), ("ich", "i"), ("du", "you"), ("wir", "we"),
    ("jemand", "somebody"), ("bitte", "please"), ("und", "and"), ("oder", "or"), ("aber", "but"),
    ("sondern", "but"), ("dann", "then"), ("danach", "then"), ("auch", "also"), ("noch", "also"),
    ("jetzt", "now"), ("sofort", "now"), ("mal", "please"), ("doch", "please"), ("nochmal", "again"),
    ("wieder", "again"), ("von", "of"), ("vom", "of"), ("fuer", "for"), ("bei", "of"), ("beim", "of"),
    ("auf", "on"), ("im", "in"), ("mit", "with"), ("nach", "for"), ("seit", "since"), ("ueber", "over"),
    ("der", "the"), ("das", "the"), ("dem", "the"), ("des", "the"), ("ein", "a"), ("eine", "a"),
    ("einen", "a"), ("einem", "a"), ("ist", "is"), ("sind", "are"), ("wird", "will"), ("wurde", "was"),
    ("wurden", "were"), ("haben", "have"), ("kannst", "can"), ("kann", "can"), ("koennen", "can"),
    ("koenntest", "could"), ("koennte", "could"), ("wuerde", "would"), ("wuerdest", "would"),
    ("soll", "should"), ("sollen", "should"), ("sollte", "should"), ("sollten", "should"), ("darf", "may"),
    ("muss", "must"), ("musst", "must"), ("muessen", "must"), ("moechte", "want"), ("wenn", "if"),
    ("falls", "if"), ("sobald", "once"), ("ob", "whether"), ("weil", "because"), ("nicht", "not"),
    ("nichts", "nothing"), ("kein", "no"), ("keine", "no"), ("keinen", "no"), ("nie", "never"),
    ("niemals", "never"), ("ohne", "without"), ("nein", "no"), ("warum", "why"), ("wieso", "why"),
    ("weshalb", "why"), ("wer", "who"), ("wann", "when"), ("wie", "how"), ("wo", "where"),
    ("wieviel", "how much"), ("viel", "much"), ("viele", "many"), ("oft", "often"), ("welche", "which"),
    ("welcher", "which"), ("welches", "which"), ("gibt", "is"), ("geht", "is"), ("laeuft", "running"),
    ("laufen", "running"), ("los", "wrong"), ("falsch", "wrong"), ("kaputt", "broken"),
    ("langsam", "broken"), ("haengt", "broken"), ("fehler", "error"), ("fehlermeldung", "error"),
    ("fehlermeldungen", "errors"), ("warnungen", "warnings"), ("stoerung", "problem"),
    ("probleme", "problems"), ("protokoll", "logs"), ("protokolle", "logs"), ("logdatei", "logs"),
    ("zeile", "line"), ("zeilen", "lines"), ("letzte", "last"), ("letzten", "last"), ("letzter", "last"),
    ("vergangenen", "past"), ("neuesten", "latest"), ("kunde", "customer"), ("kunden", "customers"),
    ("kundin", "customer"), ("dienst", "service"), ("dienste", "services"), ("datenbank", "database"),
    ("zustand", "status"), ("gesund", "healthy"), ("gesundheit", "health"), ("alarm", "alert"),
    ("alarme", "alerts"), ("speicher", "memory"), ("arbeitsspeicher", "memory"), ("auslastung", "usage"),
    ("verbrauch", "usage"), ("netzwerk", "network"), ("festplatte", "disk"), ("platte", "disk"),
    ("speicherplatz", "disk"), ("suche", "search"), ("such", "search"), ("durchsuche", "search"),
    ("suchen", "search"), ("finde", "find"), ("pruefe", "check"), ("pruef", "check"), ("pruefen", "check"),
    ("liste", "list"), ("erklaere", "explain"), ("erklaer", "explain"), ("bedeutet", "mean"),
    ("alle", "all"), ("alles", "everything"), ("beide", "both"), ("beiden", "both"), ("ganze", "whole"),
    ("ganzen", "whole"), ("gestern", "yesterday"), ("heute", "today"), ("morgen", "tomorrow"),
    ("spaeter", "later"), ("stunde", "hour"), ("stunden", "hours"), ("minuten", "minutes"),
    ("sekunden", "seconds"), ("tag", "day"), ("tage", "days"), ("tagen", "days"), ("woche", "week"),
    ("wochen", "weeks"), ("sein", "its"), ("seine", "its"), ("seinen", "its"), ("seinem", "its"),
    ("seiner", "its"), ("dessen", "its"), ("deren", "its"), ("ihre", "its"), ("ihren", "its"),
    ("ihn", "it"), ("davon", "it"), ("dort", "there"), ("vergiss", "forget"), ("lass", "leave"),
    ("danke", "thanks"), ("sagt", "says"), ("schreibt", "writes"), ("schrieb", "wrote"), ("steht", "says"),
    ("meint", "says"), ("neu", "neu"), ("neustart", "neustart"), ("neustarten", "neustarten"),
];

/// Words that both languages have; German where the message has others of the list above.
#[rustfmt::skip]
pub(super) const GERMAN_BESIDE_OTHERS: &[(&str, &str)] = &[
    ("was", "what"), ("die", "the"), ("den", "the"), ("hat", "has"), ("war", "was"), ("an", "on"),
    ("am", "on"), ("es", "it"), ("so", "so"), ("also", "so"), ("will", "want"), ("ihr", "its"),
];
