module weirpool/speed

go 1.19
