# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A made-up genome, samples with planted variants, and their reads; all from seeds."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

CONTIGS: Final = ("chr1", "chr2", "chr3")
BASES: Final = "ACGT"
READ_LENGTH: Final = 100
FRAGMENT_LENGTH: Final = 300
#: Errors of sequencing for each base. Most have a low quality.
ERROR_RATE: Final = 0.003
HIGH_QUALITY, LOW_QUALITY = "D", "+"
#: No variant is nearer to the end of a contig, where fewer reads are.
MARGIN: Final = 400

_COMPLEMENT: Final = str.maketrans("ACGT", "TGCA")


class Variant(NamedTuple):
    """A single-nucleotide variant. ``place`` counts from 1."""

    contig: str
    place: int
    ref: str
    alt: str
    genotype: str


@dataclass(frozen=True)
class Sample:
    """
    A sample.

    :param seed: of its variants and reads
    :param reference_seed: of the reference; samples with equal ones have the same
    :param contig_length: bases of each contig
    :param variants_per_contig: planted variants
    :param coverage: mean number of reads over a base
    """

    seed: int = 1
    reference_seed: int = 7
    contig_length: int = 10_000
    variants_per_contig: int = 4
    coverage: int = 40

    def reference(self) -> dict[str, str]:
        """Return the bases of the reference by contig."""
        chance = random.Random(f"{self.reference_seed} reference")
        return {contig: "".join(chance.choices(BASES, k=self.contig_length)) for contig in CONTIGS}

    def fasta(self) -> bytes:
        """Return the reference as FASTA."""
        lines = [
            line
            for contig, bases in self.reference().items()
            for line in (f">{contig}", *(bases[start : start + 60] for start in range(0, len(bases), 60)))
        ]
        return ("\n".join(lines) + "\n").encode()

    def variants(self) -> list[Variant]:
        """Return the planted variants, in order."""
        chance = random.Random(f"{self.seed} variants")
        return [
            Variant(
                contig,
                place,
                ref := bases[place - 1],
                chance.choice(BASES.replace(ref, "")),
                chance.choice(("0/1", "1/1")),
            )
            for contig, bases in self.reference().items()
            for place in self._places(chance)
        ]

    def _places(self, chance: random.Random) -> list[int]:
        """Return the places of the variants of a contig, each in another stretch of it."""
        stretch = 50
        starts = range(MARGIN, self.contig_length - MARGIN - stretch, stretch)
        return sorted(
            start + chance.randrange(stretch) for start in chance.sample(starts, self.variants_per_contig)
        )

    def fastq_pair(self) -> tuple[bytes, bytes]:
        """Return the reads: both gzipped FASTQ files."""
        haplotypes = self._haplotypes()
        chance = random.Random(f"{self.seed} reads")
        first: list[str] = []
        second: list[str] = []
        for number in range(self.coverage * self.contig_length * len(CONTIGS) // (2 * READ_LENGTH)):
            bases = chance.choice(haplotypes[chance.choice(CONTIGS)])
            start = chance.randrange(len(bases) - FRAGMENT_LENGTH)
            fragment = bases[start : start + FRAGMENT_LENGTH]
            if chance.random() < 0.5:
                fragment = _reverse(fragment)
            for reads, read in (
                (first, fragment[:READ_LENGTH]),
                (second, _reverse(fragment)[:READ_LENGTH]),
            ):
                reads.append(_record(f"read-{number}", read, chance))
        return _gzipped(first), _gzipped(second)

    def _haplotypes(self) -> dict[str, tuple[str, str]]:
        both = {contig: (list(bases), list(bases)) for contig, bases in self.reference().items()}
        for variant in self.variants():
            both[variant.contig][0][variant.place - 1] = variant.alt
            if variant.genotype == "1/1":
                both[variant.contig][1][variant.place - 1] = variant.alt
        return {contig: ("".join(one), "".join(other)) for contig, (one, other) in both.items()}


def called_variants(vcf: str) -> list[Variant]:
    """Return the variants of a VCF with one sample, in order."""
    rows = [line.split("\t") for line in vcf.splitlines() if not line.startswith("#")]
    return sorted(Variant(row[0], int(row[1]), row[3], row[4], row[9].split(":")[0]) for row in rows)


def _reverse(bases: str) -> str:
    return bases.translate(_COMPLEMENT)[::-1]


def _record(name: str, bases: str, chance: random.Random) -> str:
    read, quality = list(bases), [HIGH_QUALITY] * len(bases)
    for place, base in enumerate(bases):
        if chance.random() < ERROR_RATE:
            read[place] = chance.choice(BASES.replace(base, ""))
            if chance.random() < 0.9:
                quality[place] = LOW_QUALITY
    return f"@{name}\n{''.join(read)}\n+\n{''.join(quality)}\n"


def _gzipped(records: Sequence[str]) -> bytes:
    return gzip.compress("".join(records).encode(), compresslevel=1, mtime=0)
