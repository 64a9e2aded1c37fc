module secondreader

go 1.26
