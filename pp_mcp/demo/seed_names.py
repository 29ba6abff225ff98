"""The words that the seed is made of: all of them made up or common."""

from __future__ import annotations

import unicodedata


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    "Aaliyah Adrian Aiko Ahmed Alejandra Amara Amina Anders Ángel Anika Anton Aoife Arjun Astrid Ayşe Beatriz "
    "Benjamin Bilal Björn Camila Carlos Catarina Chidi Chloé Claire Daniela Darius David Deepa Diego Dmitri Elena "
    "Élise Emeka Emma Erik Esther Fatima Felix Fiona Gabriel Giulia Grace Hana Hannah Hassan Henrik Hiroshi Ibrahim "
    "Ingrid Isabel Ivan James Jamila Jasmine Javier Joana Jonas José Julia Kai Karim Katarzyna Kenji Kofi Kwame Laila "
    "Lars Laura Leila Leo Lin Lucía Łukasz Maja Malik Manuel Marco Maria Marta Mateo Mei Mia Miguel Mina Mohammed "
    "Nadia Naomi Nia Nikhil Nina Noah Nora Olga Oliver Omar Oscar Parisa Paulo Petra Priya Rachel Rafael Rahul Rania "
    "Renata Ricardo Robert Ruth Sakura Samira Sanjay Sara Sebastian Selin Simone Sofia Søren Stefan Sunita Tamara "
    "Tariq Teresa Thabo Thomas Tomás Uma Valentina Viktor Wanjiru Wei William Ximena Yara Yasmin Yuki Yusuf Zainab "
    "Zoë"
)

LAST = _words(
    "Abebe Adeyemi Ahmadi Almeida Andersson Andrade Banerjee Barbosa Bauer Becker Bianchi Blake Brandt Brooks "
    "Campbell Carvalho Castillo Chandra Chen Choi Clarke Costa Cruz Dahl Das Delgado Demir Diallo Díaz Dubois Edwards "
    "Eriksen Evans Farah Fernandes Ferrari Fischer Flores Foster Fujita Galli García Gomes Grant Gupta Haddad Hall "
    "Hansen Hayashi Herrera Hoang Hoffmann Hughes Hussein Iyer Jackson Jansen Jensen Johansson Jones Kaplan Kaur "
    "Kelly Khan Kim Kimura Kowalski Kumar Lange Larsen Laurent Lewandowska Li Lindqvist Lopes Mahlangu Malik Marino "
    "Martins Mbeki Mehta Mensah Meyer Miller Mohan Molina Moreau Morgan Müller Mwangi Nakamura Ndiaye Nguyen Nielsen "
    "Novak Núñez Nwosu Öberg O'Brien Okafor Oliveira Ortega Osei Owusu Park Patel Pereira Petrov Pham Popescu Qureshi "
    "Ramos Rao Reyes Ricci Rivera Roberts Rossi Ruiz Sánchez Santos Sato Schmidt Shah Sharma Silva Singh Smith Souza "
    "Stewart Suzuki Takahashi Tan Taylor Thompson Torres Tran Turner Vargas Vasquez Vogel Wagner Walker Wang Weber "
    "Williams Wilson Wong Wright Yamada Yang Yildiz Young Zhang Zhou Ziegler"
)

TOPICS = (
    "Kubernetes",
    "Terraform",
    "PostgreSQL",
    "TypeScript",
    "Python",
    "GraphQL",
    "Incident Response",
    "Code Review",
    "Observability",
    "Accessibility",
    "Product Discovery",
    "Interviewing",
    "Giving Feedback",
    "Negotiation",
    "Storytelling with Data",
    "Threat Modeling",
    "Machine Learning",
    "Prompt Writing",
    "Feature Flags",
    "Remote Collaboration",
    "Time Management",
    "Customer Empathy",
    "Forecasting",
    "Contract Basics",
    "Public Speaking",
    "Design Systems",
    "Continuous Delivery",
    "Data Modeling",
    "Coaching",
    "Experimentation",
)

PATTERNS = {
    "article": ("Introduction to {}", "{} Checklist", "Notes on {}"),
    "video": ("{} in 20 Minutes", "{}: A Guided Tour"),
    "course": ("{} Fundamentals", "Advanced {}"),
    "guide": ("How We Do {}", "{} Playbook"),
    "event": ("{} Workshop", "{} Office Hours"),
    "event_type": ("{} Workshop Series",),
    "link": ("{} Reference", "{} Reading List"),
    "track": ("{} Learning Path",),
    "scheduled_track": ("{} Cohort",),
    "collection": ("Best of {}",),
}

DESCRIPTIONS = {
    "article": "A short read about {}, with examples from our own work.",
    "video": "A recorded session about {}.",
    "course": "A self-paced course about {}, with a graded quiz at the end.",
    "guide": "How our teams go about {}, step by step.",
    "event": "A live session about {}, on site and online.",
    "event_type": "All dates of our sessions about {}.",
    "link": "Recommended material about {} on other sites.",
    "track": "Several steps that lead from the basics of {} to daily practice.",
    "scheduled_track": "A track about {} that a cohort takes together, week by week.",
    "collection": "A hand-picked selection about {}.",
}

CHANNELS = ("Engineering", "Compliance", "Sales Academy", "People & Culture", "Data")

DEPARTMENTS = ("Engineering", "Platform", "Sales", "Customer Support", "Marketing", "People", "Finance")

DROP_REASONS = ("Changed teams", "Assigned by mistake", "Covered by another course", "No longer needed")


def ascii_of(name: str) -> str:
    """A name as it goes into an e-mail address."""
    plain = name.lower().translate(str.maketrans({"ł": "l", "ø": "o", "ß": "ss", "'": "", " ": ""}))
    return "".join(letter for letter in unicodedata.normalize("NFKD", plain) if letter.isascii())
